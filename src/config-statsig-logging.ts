import { ConfigError, type Environment, type Settings } from "./settings.ts";
import { parseSdkKey } from "./specs/sdk-key.ts";
import type { StatsigSinkOptions } from "./telemetry/sinks/statsig-sink.ts";

export type StatsigLoggingConfig = Omit<StatsigSinkOptions, "baseUrl">;

const MAX_TAGS = 20;

/** Statsig cuts off what is longer. */
const TAG = /^([\w.-]{1,64}):([^\p{Cc}:][^\p{Cc}]{0,127})$/u;

/** Undefined where it is not wanted. Throws ConfigError. */
export function readStatsigLogging(settings: Settings, env: Environment): StatsigLoggingConfig | undefined {
  const tags = readTags(settings);
  if (!settings.flag("statsig-logging")) return undefined;
  const shown = settings.shown("statsig-logging");
  return { sdkKey: readKey(shown, env), userId: env["HOSTNAME"] || "statsig-forward-proxy", tags };
}

function readKey(shown: string, env: Environment): string {
  const given = env["STATSIG_SERVER_SDK_KEY"];
  if (!given) {
    throw new ConfigError(
      `${shown} needs STATSIG_SERVER_SDK_KEY, the server SDK key of the project that gets the metrics`,
    );
  }
  const sdkKey = parseSdkKey(given);
  if (sdkKey?.startsWith("secret-")) return sdkKey;
  // It may be a secret all the same.
  const allowed = 'one that begins with "secret-", of letters, digits, "-" and "_"';
  throw new ConfigError(
    `STATSIG_SERVER_SDK_KEY is no server SDK key (not shown here), allowed is ${allowed}`,
  );
}

function readTags(settings: Settings): Readonly<Record<string, string>> {
  const found = settings.texts("statsig-logging-tags").map((text) => TAG.exec(text));
  const tags = found.flatMap((tag) => (tag === null ? [] : [[tag[1] ?? "", tag[2] ?? ""] as const]));
  const names = new Set(tags.map(([name]) => name));
  if (tags.length === found.length && names.size === tags.length && tags.length <= MAX_TAGS) {
    return Object.fromEntries(tags);
  }
  throw new ConfigError(
    `${settings.shown("statsig-logging-tags")} is "${settings.text("statsig-logging-tags")}", allowed is a comma list of name:value, at most ${MAX_TAGS}, each name once`,
  );
}
