import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { djb2, type SdkKey } from "../../access/sdk-key.ts";
import type { Feed, SpecFormat } from "../../specs/feed.ts";
import { V4_KEY_CHARS } from "../keys.ts";

const decompress = promisify(brotliDecompress);

const OPEN_OBJECT = 0x7b;
const NAMED_KEY = Buffer.from('"hashed_sdk_key_used"');

/**
 * Returns the format of a config. The field `encoding` does not show it: the original relay writes `plain_text` for protobuf as
 * well. Upstream may send JSON for a protobuf feed; a brotli body that is not empty never begins with a brace.
 */
export function detectFormat(config: Uint8Array, { format }: Pick<Feed, "format">): SpecFormat {
  return format === "proto" && config[0] !== OPEN_OBJECT ? "proto" : "json";
}

/** Whose SDK key a config names. `unknown` if it names none, or is damaged: payloads need not name their key. */
type Owner = "this" | "another" | "unknown";

/** Finds which SDK key a config names. Searches instead of parsing, because configs are large. */
export async function findOwner(
  config: Uint8Array,
  format: SpecFormat,
  feed: Feed,
  maxBytes: number,
): Promise<Owner> {
  const text =
    format === "proto"
      ? await decompressed(config, maxBytes)
      : Buffer.from(config.buffer, config.byteOffset, config.length);
  if (text === undefined) return "unknown";
  const named = new RegExp(`^\\s*:\\s*"?${djb2(feed.sdkKey)}"?\\s*[,}]`);
  let found = 0;
  for (let at = text.indexOf(NAMED_KEY); at >= 0; at = text.indexOf(NAMED_KEY, at + 1)) {
    const after = text.subarray(at + NAMED_KEY.length, at + NAMED_KEY.length + 64).toString("latin1");
    if (!named.test(after)) return "another";
    found++;
  }
  return found > 0 ? "this" : "unknown";
}

async function decompressed(config: Uint8Array, maxBytes: number): Promise<Buffer | undefined> {
  try {
    return await decompress(config, { maxOutputLength: maxBytes });
  } catch {
    return undefined;
  }
}

/** Returns whether the key is listed, and no other listed one has the same name under schema v4. */
export function isSoleKey(sdkKey: SdkKey, listed: readonly SdkKey[]): boolean {
  const beginning = sdkKey.slice(0, V4_KEY_CHARS);
  const alike = new Set(listed.filter((each) => each.startsWith(beginning)));
  return alike.size === 1 && alike.has(sdkKey);
}
