import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { displayUrl } from "../config/settings.ts";
import type { StreamLimit } from "../grpc/stream-limit.ts";
import type { Probes } from "../http/routes/probes.ts";
import type { Clock } from "../platform/clock.ts";
import { describeAddress } from "../redis/options.ts";
import type { InFlight } from "../server/limits.ts";
import { SPECS_FILE_NAME } from "../sqlite/path.ts";
import { type FeedHealth, findFeeds, showFeeds } from "../telemetry/status/feeds.ts";
import { findProblems } from "../telemetry/status/problems.ts";
import { type Rates, sumRates } from "../telemetry/status/rates.ts";
import {
  ageSeconds,
  type CertificateStatus,
  type EventsStatus,
  type LocalStatus,
  type RedisStatus,
  type RelayStatus,
  type SinkStatus,
  type StatusReport,
  type TrafficStatus,
  toIso,
  toIsoOrNull,
} from "../telemetry/status/schema.ts";
import { SharedReport } from "../telemetry/status/shared-report.ts";
import { countByState, findUpstream, showUpstream } from "../telemetry/status/upstream.ts";
import type { BackupMemory } from "../telemetry/topics/backup.ts";
import { idListProblems, showIdLists } from "../telemetry/topics/id-lists.ts";
import type { FlowMemory } from "../telemetry/topics/log-events.ts";
import { BUN_VERSION, COMMIT, VERSION } from "../version.ts";
import type { BackupParts } from "./backup.ts";
import type { RunningIdLists } from "./id-lists.ts";
import type { RunningEvents } from "./log-events.ts";
import type { RunningListeners } from "./servers.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface StatusParts {
  readonly clock: Clock;
  readonly probes: Probes;
  readonly telemetry: RunningTelemetry;
  readonly backup: BackupParts | undefined;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
  readonly listeners: RunningListeners;
  readonly inFlight: InFlight;
  readonly admission: StreamLimit;
}

/** What can't be read at once. */
interface Gathered {
  readonly connections: Awaited<ReturnType<RunningListeners["connections"]>>;
  readonly localBytes: number | null;
}

/** One or two polls that fail or are late do not make a feed stale. */
const STALE_AFTER_INTERVALS = 3;

/** The intervals of upstream relays add up, and this relay does not know them. */
const STALE_AFTER_RELAYED_MS = 60_000;

interface RunningStatus {
  /** The text of `/status.json`. */
  readonly read: () => Promise<string>;
  readonly reconfigure: (config: Config) => void;
}

/** The text of `/status.json`: what is remembered, and what the parts say when they are asked. */
export function startStatus(started: Config, parts: StatusParts): RunningStatus {
  let config = started;
  const { specs, telemetry, clock } = parts;
  specs.store.listen({ removed: ({ feed }) => telemetry.board.polls.forget(feed) });
  const source = {
    gather: async () => ({
      connections: parts.listeners.connections(),
      localBytes: await localBytes(config),
    }),
    build: (gathered: Gathered) => JSON.stringify(readStatus(config, parts, gathered)),
  };
  const report = new SharedReport(source, clock);
  return {
    read: () => report.read(),
    reconfigure: (next) => {
      config = next;
    },
  };
}

function readStatus(config: Config, parts: StatusParts, gathered: Gathered): StatusReport {
  const { clock, probes, telemetry, specs } = parts;
  const { polls, backup: memory, flow } = telemetry.board;
  const now = clock.now();
  const rates = telemetry.rates.read();
  const settings = {
    url: displayUrl(config.upstreamUrl),
    throughProxy: config.upstreamProxied,
    intervalMs: config.pollIntervalMs,
    staleAfterMs: Math.max(
      STALE_AFTER_INTERVALS * config.pollIntervalMs,
      specs.upstreamIsRelay() ? STALE_AFTER_RELAYED_MS : 0,
    ),
  };
  const { store, preload } = specs;
  const readings = { store, preload, polls, rates, clock, staleAfterMs: settings.staleAfterMs };
  const found = findFeeds(readings);
  const hasOthers = ({ held, feed }: FeedHealth) => held === undefined && store.holds(feed.sdkKey);
  const upstream = findUpstream(found, polls.upstream, (finding) => !hasOthers(finding));
  const backupParts = { ...parts, memory, now, localBytes: gathered.localBytes };
  const [redis, local] = [redisStatus(config, backupParts), localStatus(config, backupParts)];
  const events = eventsStatus(config, parts);
  const notReady = probes.notReady();
  const lists = parts.idLists.status();
  const problems = [
    ...findProblems({ backup: memory, flow, now, notReady, upstream, redis, local, events }),
    ...(lists === undefined ? [] : idListProblems(lists)),
  ];
  return {
    now: toIso(now),
    state: notReady.length > 0 ? "not_ready" : problems.length > 0 ? "degraded" : "ok",
    problems,
    relay: relayStatus(config, now, telemetry.startedAt),
    traffic: trafficStatus(config, parts, rates, gathered),
    upstream: showUpstream(upstream, polls.upstream, settings),
    redis,
    local,
    id_lists: lists === undefined ? null : showIdLists(lists, config.idLists),
    events,
    sinks: sinkStatuses(telemetry),
    certificate: certificateStatus(flow),
    feeds_total: found.length,
    feeds_by_state: countByState(found),
    feeds: showFeeds(found, readings),
  };
}

function relayStatus({ mode, cache }: Config, now: number, startedAt: number): RelayStatus {
  return {
    version: VERSION,
    commit: COMMIT,
    bun_version: BUN_VERSION,
    mode,
    cache,
    host: hostname(),
    pid: process.pid,
    started_at: toIso(startedAt),
    uptime_s: ageSeconds(now, startedAt),
    memory_bytes: process.memoryUsage.rss(),
  };
}

function trafficStatus(
  config: Config,
  { specs, inFlight, admission }: StatusParts,
  rates: Rates,
  { connections }: Gathered,
): TrafficStatus {
  return {
    requests_per_s: rates.http,
    failed_per_s: rates.failed,
    rpcs_per_s: rates.rpcs,
    in_flight: inFlight.count,
    streams: admission.open,
    max_streams: admission.maxStreams,
    sdk_keys: specs.store.keyCount,
    max_sdk_keys: config.maxKeys,
    connections: Object.fromEntries(connections),
  };
}

function eventsStatus({ events: settings }: Config, { telemetry, events }: StatusParts): EventsStatus {
  const { board, registry } = telemetry;
  const { eventsDelayed, eventsSentAt, eventsError } = board.flow;
  return {
    upstream_url: displayUrl(settings.upstreamUrl),
    durable: events.isDurable,
    spool_path: settings.spool?.path ?? null,
    events: events.depth.events,
    bytes: events.depth.bytes,
    filled: Math.round(events.filled * 1_000) / 1_000,
    state: eventsDelayed === undefined ? "ok" : "delayed",
    delayed_since: toIsoOrNull(eventsDelayed?.since),
    last_sent_at: toIsoOrNull(eventsSentAt),
    last_error: eventsError,
    accepted: sumRates(registry, "LogEventAccepted"),
    forwarded: sumRates(registry, "LogEventForwarded"),
    dropped: sumRates(registry, "LogEventDropped"),
  };
}

function sinkStatuses({ sinks, board }: RunningTelemetry): readonly SinkStatus[] {
  return [...sinks.states.keys()].map((name) => {
    const failing = board.flow.failingSinks.get(name);
    return {
      name,
      state: failing === undefined ? "ok" : "failing",
      since: toIsoOrNull(failing?.since),
      reason: failing?.reason ?? null,
    };
  });
}

function certificateStatus({ certificate, certificateRefused }: FlowMemory): CertificateStatus | null {
  if (certificate === undefined) return null;
  const { serial, expiresAt } = certificate;
  return { serial, expires_at: toIsoOrNull(expiresAt), refused: certificateRefused };
}

interface BackupStatusParts {
  readonly backup: BackupParts | undefined;
  readonly specs: RunningSpecs;
  readonly memory: BackupMemory;
  readonly now: number;
  readonly localBytes: number | null;
}

/** Null where CACHE is another. */
function redisStatus(config: Config, parts: BackupStatusParts): RedisStatus | null {
  if (config.cache !== "redis") return null;
  const { memory } = parts;
  const trouble = memory.down ?? memory.refusesWrites;
  return {
    address: describeAddress(config.redis.connection),
    state: memory.down ? "down" : memory.refusesWrites ? "refuses_writes" : "ok",
    since: toIsoOrNull(trouble?.since),
    reason: trouble?.reason ?? null,
    fleet_polling: config.redis.fleetPolling,
    ...lagOf(parts),
    last_write_at: toIsoOrNull(memory.lastWriteAt),
    last_read_at: toIsoOrNull(memory.lastReadAt),
    last_error: memory.lastError,
  };
}

/** Null where CACHE is another. */
function localStatus(config: Config, parts: BackupStatusParts): LocalStatus | null {
  if (config.cache !== "local") return null;
  const { memory, specs, localBytes: bytes } = parts;
  const { path, maxBytes } = config.local;
  const waitingSince = specs.backupLag()?.since;
  const isFailing = waitingSince !== undefined && memory.lastErrorAt >= waitingSince;
  return {
    path,
    state: memory.unusable ? "unusable" : isFailing ? "failing" : "ok",
    since: toIsoOrNull(memory.unusable?.since ?? (isFailing ? waitingSince : undefined)),
    reason: memory.unusable?.reason ?? (isFailing ? (memory.lastError?.detail ?? null) : null),
    bytes,
    max_bytes: maxBytes,
    ...lagOf(parts),
    last_error: memory.lastError,
  };
}

function lagOf({ specs, now }: BackupStatusParts): Pick<RedisStatus, "behind_feeds" | "lag_s"> {
  const lag = specs.backupLag();
  if (lag === undefined) return { behind_feeds: null, lag_s: null };
  return { behind_feeds: lag.feeds, lag_s: lag.since === undefined ? 0 : ageSeconds(now, lag.since) };
}

/** Returns the size of the file and its log; null without a local backup. */
async function localBytes({ cache, local }: Config): Promise<number | null> {
  if (cache !== "local") return null;
  const file = join(local.path, SPECS_FILE_NAME);
  const found = await Promise.all([file, `${file}-wal`].map((path) => stat(path).catch(() => undefined)));
  const sizes = found.flatMap((each) => each?.size ?? []);
  return sizes.length === 0 ? null : sizes.reduce((sum, size) => sum + size);
}
