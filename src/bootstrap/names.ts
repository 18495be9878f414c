import { createHash } from "node:crypto";
import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { ApiVersion, SpecFormat } from "../specs/feed.ts";

/** What the name of a file says about the config spec in it. */
interface NameHints {
  /** False if the file is not one with a config spec, so that it is ignored. */
  readonly isSpec: boolean;
  readonly isProto: boolean;
  readonly version: ApiVersion | undefined;
  /** The beginning of the SHA-256 of the only SDK key that the file is for, in hexadecimal. */
  readonly keyDigest: string | undefined;
}

const SPEC_NAME = /\.(json(\.(gz|br|zst))?|statsig-br)$/i;
const KEY_PART = /\.key-([0-9a-f]{16,64})(?=\.)/i;

export function readName(name: string): NameHints {
  const [, version] = /\.(v[12])(?=\.)/i.exec(name) ?? [];
  return {
    isSpec: SPEC_NAME.test(name) && !name.startsWith("."),
    isProto: /\.statsig-br$/i.test(name),
    version: version === undefined ? undefined : (version.toLowerCase() as ApiVersion),
    keyDigest: KEY_PART.exec(name)?.[1]?.toLowerCase(),
  };
}

const DIGEST_CHARS = 16;

/** Returns the digest that names an SDK key in the name of a file: 16 hexadecimal digits of its SHA-256. */
function digestSdkKey(sdkKey: SdkKey): string {
  return sha256(sdkKey).slice(0, DIGEST_CHARS);
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Returns the name of a file that holds a config spec, which {@link readName} understands. It contains no more of the SDK key than
 * logs show.
 */
export function createName(sdkKey: SdkKey, version: ApiVersion, format: SpecFormat): string {
  const begin = maskSdkKey(sdkKey)
    .replace(/\*.*$/, "")
    .replaceAll(/[^A-Za-z0-9_-]/g, "_");
  const extension = format === "proto" ? "statsig-br" : "json";
  return `${begin}.key-${digestSdkKey(sdkKey)}.${version}.${extension}`;
}
