import type { OptionGroup } from "../option.ts";
import { type Environment, isProxied, readUrl, readWholeNumberVariable, type Settings } from "../settings.ts";
import type { BootstrapConfig } from "./bootstrap.ts";

/** How log events of SDKs are received, stored and forwarded. */
export interface EventsConfig {
  /** `LOG_EVENT_STATSIG_ENDPOINT`. */
  readonly upstreamUrl: string;
  readonly upstreamProxied: boolean;
  /** Whether events are accepted and dropped: in offline mode, unless `LOG_EVENT_STATSIG_ENDPOINT` is set. */
  readonly areDropped: boolean;
  readonly maxBatches: number;
  readonly flushIntervalMs: number;
  /** Limit of a request body, compressed and decompressed. */
  readonly maxBodyBytes: number;
  /** Limit of one request. */
  readonly maxEvents: number;
  /** `LOG_EVENT_DEDUPE_CACHE_LIMIT`: maximum exposures remembered. 0 turns deduplication off. */
  readonly dedupeLimit: number;
  /** Undefined if events wait in memory. */
  readonly spool: { readonly path: string; readonly maxBytes: number } | undefined;
}

const DEFAULT_EVENTS_URL = "https://statsigapi.net";
const DEFAULT_DEDUPE_LIMIT = 2_000_000;
const MAX_DEDUPE_LIMIT = 50_000_000;
const MIB = 1024 * 1024;

/** Throws ConfigError. */
export function readEvents(
  settings: Settings,
  env: Environment,
  { offline }: Pick<BootstrapConfig, "offline">,
): EventsConfig {
  // Not STATSIG_ENDPOINT: Statsig receives events at another host than it serves config specs (docs/protocol.md, Log events).
  const upstreamUrl = readUrl(env, "LOG_EVENT_STATSIG_ENDPOINT", DEFAULT_EVENTS_URL);
  const spoolPath = settings.text(LOG_EVENTS.eventSpoolPath);
  return {
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    areDropped: offline && !env["LOG_EVENT_STATSIG_ENDPOINT"],
    maxBatches: settings.integer(LOG_EVENTS.logEventProcessQueueSize),
    flushIntervalMs: settings.integer(LOG_EVENTS.logEventFlushIntervalInMs),
    maxBodyBytes: settings.integer(LOG_EVENTS.maxRequestBodyInMb) * MIB,
    maxEvents: settings.integer(LOG_EVENTS.maxEventsPerRequest),
    dedupeLimit: settings.flag(LOG_EVENTS.logEventDedupe) ? readDedupeLimit(env) : 0,
    spool: spoolPath
      ? { path: spoolPath, maxBytes: settings.integer(LOG_EVENTS.eventSpoolMaxInMb) * MIB }
      : undefined,
  };
}

function readDedupeLimit(env: Environment): number {
  return readWholeNumberVariable(env, "LOG_EVENT_DEDUPE_CACHE_LIMIT", {
    otherwise: DEFAULT_DEDUPE_LIMIT,
    min: 0,
    max: MAX_DEDUPE_LIMIT,
  });
}

/** The options of log events, in the order of `--help`. */
export const LOG_EVENTS = {
  logEventProcessQueueSize: {
    name: "log-event-process-queue-size",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 10_000_000,
    original: "u64",
    zeroMeansDefault: true,
    placeholder: "BATCHES",
    description: "Maximum batches of log events waiting to be forwarded; beyond it, SDKs are asked to retry",
  },
  logEventDedupe: {
    name: "log-event-dedupe",
    kind: "text",
    default: "true",
    words: ["true", "false"],
    placeholder: "true|false",
    description: "Whether duplicate exposures within the same minute are dropped",
  },
  logEventFlushIntervalInMs: {
    name: "log-event-flush-interval-in-ms",
    kind: "integer",
    default: "1000",
    min: 0,
    max: 60_000,
    placeholder: "MS",
    description: "Time in milliseconds to collect events into a batch before it is forwarded",
  },
  maxRequestBodyInMb: {
    name: "max-request-body-in-mb",
    kind: "integer",
    default: "5",
    min: 1,
    max: 64,
    placeholder: "MB",
    description: "Maximum size of a log event request in MB, compressed and decompressed",
  },
  maxEventsPerRequest: {
    name: "max-events-per-request",
    kind: "integer",
    default: "20000",
    min: 1,
    max: 1_000_000,
    placeholder: "EVENTS",
    description: "Maximum log events per request; more get 413",
  },
  eventSpoolPath: {
    name: "event-spool-path",
    kind: "text",
    placeholder: "FOLDER",
    description: "Folder to store log events in until they are forwarded (Default: in memory)",
  },
  eventSpoolMaxInMb: {
    name: "event-spool-max-in-mb",
    kind: "integer",
    default: "512",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Maximum size of --event-spool-path in MB; the oldest events are dropped",
  },
} as const satisfies OptionGroup;
