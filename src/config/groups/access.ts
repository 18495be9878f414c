import { readSdkKeyList, type SdkKey } from "../../access/sdk-key.ts";
import type { OptionGroup } from "../option.ts";
import { ConfigError, invalidValue, type Settings } from "../settings.ts";
import { SPECS } from "./specs.ts";

/** Which clients are served. */
export interface AccessConfig {
  /** Undefined if every key is allowed. */
  readonly allowed: AllowedKeys | undefined;
  readonly unknownKeysPerS: number;
  readonly corsOrigins: CorsOrigins;
}

interface AllowedKeys {
  readonly keys: readonly SdkKey[];
  /** The file that lists the keys, which is watched. Undefined if the option lists them itself. */
  readonly path: string | undefined;
}

/** `any`, or origins as browsers write them, `https://host:port`. Empty if CORS is off. */
type CorsOrigins = "any" | readonly string[];

/** Throws {@link ConfigError}. */
export function readAccess(settings: Settings, preloaded: readonly SdkKey[]): AccessConfig {
  return {
    allowed: readAllowed(settings, preloaded),
    unknownKeysPerS: settings.integer(ACCESS.unknownKeyRatePerS),
    corsOrigins: readCorsOrigins(settings),
  };
}

function readAllowed(settings: Settings, preloaded: readonly SdkKey[]): AllowedKeys | undefined {
  const shown = settings.shown(ACCESS.allowedSdkKeys);
  const text = settings.text(ACCESS.allowedSdkKeys);
  if (text === "") return undefined;
  const keys = readSdkKeyList(text, (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  const lacking = preloaded.filter((key) => !keys.includes(key)).length;
  if (lacking > 0) {
    const preload = settings.shown(SPECS.preloadSdkKeys);
    throw new ConfigError(`${shown} lacks ${lacking} of the keys of ${preload}, which would not be served`);
  }
  return { keys, path: text.startsWith("@") ? text.slice(1) : undefined };
}

function readCorsOrigins(settings: Settings): CorsOrigins {
  const text = settings.text(ACCESS.corsAllowedOrigins);
  if (text === "*") return "any";
  const origins = text.split(",").map((word) => word.trim());
  const words = origins.filter((word) => word !== "");
  for (const word of words) {
    if (URL.parse(word)?.origin === word) continue;
    const shown = settings.shown(ACCESS.corsAllowedOrigins);
    throw invalidValue(shown, text, "* or a comma-separated list of origins such as https://example.com");
  }
  return words;
}

/** The options of access, in the order of `--help`. */
export const ACCESS = {
  allowedSdkKeys: {
    name: "allowed-sdk-keys",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEYS|@FILE",
    isReloadable: true,
    description: "SDK keys to serve, comma-separated or @FILE; all others are rejected (Default: every key)",
  },
  unknownKeyRatePerS: {
    name: "unknown-key-rate-per-s",
    kind: "integer",
    default: "20",
    min: 1,
    max: 10_000,
    placeholder: "KEYS",
    isReloadable: true,
    description: "Unknown SDK keys accepted per second, after a burst of --maximum-concurrent-sdk-keys",
  },
  corsAllowedOrigins: {
    name: "cors-allowed-origins",
    kind: "text",
    isList: true,
    placeholder: "ORIGINS",
    description: "Origins of web pages that may read responses, comma-separated, or * (Default: none)",
  },
} as const satisfies OptionGroup;
