import { readSdkKeyList } from "./sdk-key-list.ts";
import { ConfigError, type Settings } from "./settings.ts";
import type { SdkKey } from "./specs/sdk-key.ts";

/** Who may ask. */
export interface AccessConfig {
  /** Undefined where any key may ask. */
  readonly allowed: AllowedKeys | undefined;
  readonly unknownKeysPerS: number;
  readonly corsOrigins: CorsOrigins;
}

export interface AllowedKeys {
  readonly keys: readonly SdkKey[];
  /** The file that they stand in, which may change; undefined where they were given as they are. */
  readonly path: string | undefined;
}

/** `any`, or origins as browsers write them: `https://host:port`; none where CORS is off. */
export type CorsOrigins = "any" | readonly string[];

/** Throws {@link ConfigError}. */
export function readAccess(settings: Settings, preloaded: readonly SdkKey[]): AccessConfig {
  return {
    allowed: readAllowed(settings, preloaded),
    unknownKeysPerS: settings.integer("unknown-key-rate-per-s"),
    corsOrigins: readCorsOrigins(settings),
  };
}

function readAllowed(settings: Settings, preloaded: readonly SdkKey[]): AllowedKeys | undefined {
  const shown = settings.shown("allowed-sdk-keys");
  const text = settings.text("allowed-sdk-keys");
  if (text === "") return undefined;
  const keys = readSdkKeyList(text, (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  const lacking = preloaded.filter((key) => !keys.includes(key)).length;
  if (lacking > 0) {
    const preload = settings.shown("preload-sdk-keys");
    throw new ConfigError(`${shown} lacks ${lacking} of the keys of ${preload}: they would not be served`);
  }
  return { keys, path: text.startsWith("@") ? text.slice(1) : undefined };
}

function readCorsOrigins(settings: Settings): CorsOrigins {
  const text = settings.text("cors-allowed-origins");
  if (text === "*") return "any";
  const origins = text.split(",").map((word) => word.trim());
  const words = origins.filter((word) => word !== "");
  for (const word of words) {
    if (URL.parse(word)?.origin === word) continue;
    const shown = settings.shown("cors-allowed-origins");
    throw new ConfigError(`${shown} is "${text}", allowed is * or a comma list like https://example.com`);
  }
  return words;
}
