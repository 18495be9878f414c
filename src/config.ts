import { environmentName, OPTIONS, type OptionName, type OptionSpec } from "./options.ts";
import { readSdkKeyList } from "./sdk-key-list.ts";
import type { SdkKey } from "./specs/sdk-key.ts";

export const MODES = ["grpc-and-http", "grpc", "http"] as const;
export type Mode = (typeof MODES)[number];

export const CACHES = ["disabled"] as const;
export type Cache = (typeof CACHES)[number];

/** Everything that can be set, read once at start. */
export interface Config {
  readonly mode: Mode;
  readonly cache: Cache;
  readonly bindAddress: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly maxKeys: number;
  readonly pollIntervalMs: number;
  readonly maxRequestsInFlight: number;
  readonly maxStreams: number;
  readonly clearOnUnauthorized: boolean;
  readonly preloadSdkKeys: readonly SdkKey[];
  readonly shutdownGraceMs: number;
  readonly debugLogging: boolean;
  /** `STATSIG_ENDPOINT`. */
  readonly upstreamUrl: string;
  /** Requests to upstream go through `HTTP_PROXY` or `HTTPS_PROXY`. */
  readonly upstreamProxied: boolean;
  /** `HOSTNAME`, told to streaming clients. */
  readonly hostname: string;
}

/** A setting that can't be used; the message is one line that names it, what was given and what is allowed. */
export class ConfigError extends Error {}

export type Environment = Readonly<Record<string, string | undefined>>;

/** What was given on the command line: texts by option name. */
export interface GivenConfig {
  readonly mode: string | undefined;
  readonly cache: string | undefined;
  readonly values: ReadonlyMap<string, string>;
}

const DEFAULT_UPSTREAM_URL = "https://api.statsigcdn.com";

/** Flags go before the environment, the environment before defaults. Throws {@link ConfigError}. */
export function readConfig(given: GivenConfig, env: Environment): Config {
  const settings = new Settings(given.values, env);
  const upstreamUrl = readUpstreamUrl(env["STATSIG_ENDPOINT"]);
  const maxKeys = settings.integer("maximum-concurrent-sdk-keys");
  return {
    mode: oneOf("MODE", given.mode, MODES),
    cache: oneOf("CACHE", given.cache, CACHES),
    bindAddress: settings.text("bind-address"),
    httpPort: settings.integer("http-port"),
    grpcPort: settings.integer("grpc-port"),
    maxKeys,
    pollIntervalMs: settings.integer("polling-interval-in-s") * 1_000,
    maxRequestsInFlight: settings.integer("update-batch-size"),
    maxStreams: settings.integer("grpc-max-concurrent-streams"),
    clearOnUnauthorized: settings.flag("clear-datastore-on-unauthorized"),
    preloadSdkKeys: readPreload(settings, maxKeys),
    shutdownGraceMs: settings.integer("shutdown-grace-in-s") * 1_000,
    debugLogging: settings.flag("debug-logging"),
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    hostname: env["HOSTNAME"] || "no_hostname_set",
  };
}

/** Finds each option's text and who gave it, and reads it by its row of the table. */
class Settings {
  readonly #values: ReadonlyMap<string, string>;
  readonly #env: Environment;

  constructor(values: ReadonlyMap<string, string>, env: Environment) {
    this.#values = values;
    this.#env = env;
  }

  text(name: OptionName): string {
    return this.#find(name).text;
  }

  integer(name: OptionName): number {
    const { option, text, shown } = this.#find(name);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${shown} is "${text}", allowed is a whole number from ${min} to ${max}`);
  }

  flag(name: OptionName): boolean {
    const { text, shown } = this.#find(name);
    if (text === "true" || text === "1") return true;
    if (text === "false" || text === "0" || text === "") return false;
    throw new ConfigError(`${shown} is "${text}", allowed is true or false`);
  }

  /** The option as the user wrote it. */
  shown(name: OptionName): string {
    return this.#find(name).shown;
  }

  #find(name: OptionName): { readonly option: OptionSpec; readonly text: string; readonly shown: string } {
    const option: OptionSpec = OPTIONS.find((each) => each.name === name) ?? {
      name,
      kind: "text",
      description: "",
    };
    const given = this.#values.get(name);
    if (given !== undefined) return { option, text: given, shown: `--${name}` };
    const variable = environmentName(option);
    const set = this.#env[variable];
    if (set) return { option, text: set, shown: variable };
    return { option, text: option.default ?? "", shown: `--${name}` };
  }
}

function oneOf<T extends string>(name: string, given: string | undefined, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === given);
  if (found !== undefined) return found;
  const problem = given === undefined ? "is missing" : `is "${given}"`;
  throw new ConfigError(`<${name}> ${problem}, allowed is ${allowed.join(", ")}`);
}

function readPreload(settings: Settings, maxKeys: number): readonly SdkKey[] {
  const shown = settings.shown("preload-sdk-keys");
  const keys = readSdkKeyList(settings.text("preload-sdk-keys"), (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  if (keys.length <= maxKeys) return keys;
  throw new ConfigError(
    `${shown} names ${keys.length} keys, allowed by --maximum-concurrent-sdk-keys is ${maxKeys}`,
  );
}

function readUpstreamUrl(given: string | undefined): string {
  if (!given) return DEFAULT_UPSTREAM_URL;
  if (URL.canParse(given) && /^https?:$/.test(new URL(given).protocol)) return given;
  throw new ConfigError(`STATSIG_ENDPOINT is "${given}", allowed is an http:// or https:// URL`);
}

function isProxied(upstreamUrl: string, env: Environment): boolean {
  const names = upstreamUrl.startsWith("https:")
    ? ["HTTPS_PROXY", "https_proxy"]
    : ["HTTP_PROXY", "http_proxy"];
  return [...names, "ALL_PROXY", "all_proxy"].some((name) => Boolean(env[name]));
}
