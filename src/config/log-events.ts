import type { OptionGroup } from "./option.ts";
import { ConfigError, type Environment, isProxied, readUrl, type Settings } from "./settings.ts";

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
  // Not STATSIG_ENDPOINT: Statsig takes events under another host name than it serves config specs (docs/protocol.md).
  const upstreamUrl = readUrl(env, "LOG_EVENT_STATSIG_ENDPOINT", DEFAULT_EVENTS_URL);
  const spoolPath = settings.text(LOG_EVENTS.eventSpoolPath);
  return {
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    maxBatches: settings.integer(LOG_EVENTS.logEventProcessQueueSize),
    flushIntervalMs: settings.integer(LOG_EVENTS.logEventFlushIntervalInMs),
    maxBodyBytes: settings.integer(LOG_EVENTS.maxRequestBodyInMb) * MIB,
    maxEvents: settings.integer(LOG_EVENTS.maxEventsPerRequest),
    dedupe: settings.flag(LOG_EVENTS.logEventDedupe),
    dedupeLimit: readDedupeLimit(env["LOG_EVENT_DEDUPE_CACHE_LIMIT"]),
    spool: spoolPath
      ? { path: spoolPath, maxBytes: settings.integer(LOG_EVENTS.eventSpoolMaxInMb) * MIB }
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

/** The options of what happens to SDKs' events, in the order of `--help`. */
export const LOG_EVENTS = {
  logEventProcessQueueSize: {
    name: "log-event-process-queue-size",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 10_000_000,
    placeholder: "BATCHES",
    description: "Batches of SDKs' events that may wait to be forwarded; beyond, SDKs are told to try later",
  },
  logEventDedupe: {
    name: "log-event-dedupe",
    kind: "text",
    default: "true",
    words: ["true", "false"],
    placeholder: "true|false",
    description: "Whether exposures that repeat an earlier one of the same minute are left out",
  },
  logEventFlushIntervalInMs: {
    name: "log-event-flush-interval-in-ms",
    kind: "integer",
    default: "1000",
    min: 0,
    max: 60_000,
    placeholder: "MS",
    description: "How long events wait for more of their kind before they are forwarded",
  },
  maxRequestBodyInMb: {
    name: "max-request-body-in-mb",
    kind: "integer",
    default: "5",
    min: 1,
    max: 64,
    placeholder: "MB",
    description: "The largest body with events, before and after decompression",
  },
  maxEventsPerRequest: {
    name: "max-events-per-request",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 1_000_000,
    placeholder: "EVENTS",
    description: "Events of one request; beyond, 413",
  },
  eventSpoolPath: {
    name: "event-spool-path",
    kind: "text",
    placeholder: "FOLDER",
    description: "Folder to keep events in until they are forwarded; without it they wait in memory",
  },
  eventSpoolMaxInMb: {
    name: "event-spool-max-in-mb",
    kind: "integer",
    default: "512",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of that folder; beyond, the oldest events go",
  },
} as const satisfies OptionGroup;
