import type { OptionSpec } from "./option.ts";
import { ConfigError, type Environment, isHttpUrl, isProxied, type Settings } from "./settings.ts";

/** What happens to SDKs' events. */
export interface EventsConfig {
  /** `LOG_EVENT_STATSIG_ENDPOINT`. */
  readonly upstreamUrl: string;
  readonly upstreamProxied: boolean;
  readonly maxBatches: number;
  readonly flushIntervalMs: number;
  /** Of a request's body, before and after decompression. */
  readonly maxBodyBytes: number;
  /** Of a request. */
  readonly maxEvents: number;
  readonly dedupe: boolean;
  /** `LOG_EVENT_DEDUPE_CACHE_LIMIT`: exposures remembered. */
  readonly dedupeLimit: number;
  /** Undefined where events wait in memory. */
  readonly spool: { readonly path: string; readonly maxBytes: number } | undefined;
}

const DEFAULT_EVENTS_URL = "https://statsigapi.net";
const DEFAULT_DEDUPE_LIMIT = 2_000_000;
const MAX_DEDUPE_LIMIT = 50_000_000;
const MIB = 1024 * 1024;

/** Throws {@link ConfigError}. */
export function readEvents(settings: Settings, env: Environment): EventsConfig {
  const upstreamUrl = readEventsUrl(env["LOG_EVENT_STATSIG_ENDPOINT"]);
  const spoolPath = settings.text("event-spool-path");
  return {
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    maxBatches: settings.integer("log-event-process-queue-size"),
    flushIntervalMs: settings.integer("log-event-flush-interval-in-ms"),
    maxBodyBytes: settings.integer("max-request-body-in-mb") * MIB,
    maxEvents: settings.integer("max-events-per-request"),
    dedupe: settings.flag("log-event-dedupe"),
    dedupeLimit: readDedupeLimit(env["LOG_EVENT_DEDUPE_CACHE_LIMIT"]),
    spool: spoolPath
      ? { path: spoolPath, maxBytes: settings.integer("event-spool-max-in-mb") * MIB }
      : undefined,
  };
}

function readDedupeLimit(given: string | undefined): number {
  if (!given) return DEFAULT_DEDUPE_LIMIT;
  const limit = /^\d{1,9}$/.test(given) ? Number(given) : 0;
  if (limit >= 1 && limit <= MAX_DEDUPE_LIMIT) return limit;
  const allowed = `a whole number from 1 to ${MAX_DEDUPE_LIMIT}; --log-event-dedupe false turns it off`;
  throw new ConfigError(`LOG_EVENT_DEDUPE_CACHE_LIMIT is "${given}", allowed is ${allowed}`);
}

/** Not that of specs: Statsig takes events under another name than it serves specs (WIRE 2). */
function readEventsUrl(given: string | undefined): string {
  if (!given) return DEFAULT_EVENTS_URL;
  if (isHttpUrl(given)) return given;
  throw new ConfigError(`LOG_EVENT_STATSIG_ENDPOINT is "${given}", allowed is an http:// or https:// URL`);
}

/** The options of what happens to SDKs' events, in the order of `--help`. */
export const EVENT_OPTIONS = [
  {
    name: "log-event-process-queue-size",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 10_000_000,
    placeholder: "BATCHES",
    description: "Batches of SDKs' events that may wait to be forwarded; beyond, SDKs are told to try later",
  },
  {
    name: "log-event-dedupe",
    kind: "text",
    default: "true",
    words: ["true", "false"],
    placeholder: "true|false",
    description: "Whether exposures that repeat an earlier one of the same minute are left out",
  },
  {
    name: "log-event-flush-interval-in-ms",
    kind: "integer",
    default: "1000",
    min: 0,
    max: 60_000,
    placeholder: "MS",
    description: "How long events wait for more of their kind before they are forwarded",
  },
  {
    name: "max-request-body-in-mb",
    kind: "integer",
    default: "5",
    min: 1,
    max: 64,
    placeholder: "MB",
    description: "The largest body with events, before and after decompression",
  },
  {
    name: "max-events-per-request",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 1_000_000,
    placeholder: "EVENTS",
    description: "Events of one request; beyond, 413",
  },
  {
    name: "event-spool-path",
    kind: "text",
    placeholder: "FOLDER",
    description: "Folder to keep events in until they are forwarded; without it they wait in memory",
  },
  {
    name: "event-spool-max-in-mb",
    kind: "integer",
    default: "512",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of that folder; beyond, the oldest events go",
  },
] as const satisfies readonly OptionSpec[];
