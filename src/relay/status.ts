import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { RUNTIME } from "#runtime/about.ts";
import type { Config } from "../config/config.ts";
import { displayUrl } from "../config/settings.ts";
import type { DeltaUse } from "../http/observer.ts";
import type { Clock } from "../platform/clock.ts";
import type { FleetSeen } from "../redis/fleet-view.ts";
import { describeAddress } from "../redis/options.ts";
import { type Feed, feedId } from "../specs/feed.ts";
import { SPECS_FILE_NAME } from "../sqlite/path.ts";
import { bootstrapProblems, formatBootstrap } from "../telemetry/status/bootstrap.ts";
import { type FeedHealth, findFeeds, formatFeeds } from "../telemetry/status/feeds.ts";
import { findClaimant, formatFleet } from "../telemetry/status/fleet.ts";
import { formatIdLists, idListProblems } from "../telemetry/status/id-lists.ts";
import { withNextStep } from "../telemetry/status/next-steps.ts";
import { formatPins, pinProblems } from "../telemetry/status/pins.ts";
import { findProblems, streamProblems } from "../telemetry/status/problems.ts";
import { type Rates, sumCounts } from "../telemetry/status/rates.ts";
import {
  ageSeconds,
  type CertificateStatus,
  type EventsStatus,
  type RelayStatus,
  type SinkStatus,
  type StatusReport,
  toIso,
  toIsoOrNull,
} from "../telemetry/status/schema.ts";
import type { LocalStatus, RedisStatus } from "../telemetry/status/schema-backup.ts";
import type { DeltaStatus, TrafficStatus } from "../telemetry/status/schema-traffic.ts";
import { SharedReport } from "../telemetry/status/shared-report.ts";
import {
  countByState,
  endpointProblems,
  findUpstream,
  formatUpstream,
} from "../telemetry/status/upstream.ts";
import { COMMIT, VERSION } from "../version.ts";
import type { BackupParts } from "./backup.ts";
import { startPresence } from "./fleet-presence.ts";
import type { RunningIdLists } from "./id-lists.ts";
import type { Health } from "./lifecycle.ts";
import type { RunningEvents } from "./log-events.ts";
import type { RunningServing } from "./serving.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";
import type { RunningUpstream } from "./upstream.ts";

interface StatusParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly telemetry: RunningTelemetry;
  readonly backup: BackupParts | undefined;
  readonly specs: RunningSpecs;
  readonly upstream: RunningUpstream;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
  readonly serving: RunningServing;
}

/** What can only be read asynchronously. */
interface Gathered {
  readonly connections: Awaited<ReturnType<RunningServing["connections"]>>;
  readonly localBytes: number | null;
  readonly fleet: FleetSeen | undefined;
}

interface RunningStatus {
  /** Returns the body of `/status.json`. */
  readonly read: () => Promise<string>;
  readonly reconfigure: (config: Config) => void;
}

/** Builds `/status.json` from the status that telemetry holds and from the state of the components. */
export function startStatus(started: Config, parts: StatusParts): RunningStatus {
  let config = started;
  const { specs, telemetry, clock } = parts;
  specs.store.listen({ removed: ({ feed }) => telemetry.specs.polls.forget(feed) });
  watchSizes(parts);
  const fleet = startPresence(() => config, parts);
  const source = {
    gather: async () => {
      await telemetry.registry.collect();
      const [bytes, seen] = await Promise.all([localBytes(config), fleet?.()]);
      return { connections: parts.serving.connections(), localBytes: bytes, fleet: seen };
    },
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

/** Lets telemetry know which feeds are too large for gRPC clients now. */
function watchSizes({ specs: { store }, serving: { messageLimit }, telemetry: { rpc } }: StatusParts): void {
  rpc.oversized.checkedBy((feed) => {
    const held = store.peek(feed);
    return held !== undefined && messageLimit.exceededBy(held.snapshot) !== undefined;
  });
  store.listen({
    published: ({ feed }) => rpc.feedChanged(feed),
    removed: ({ feed }) => rpc.feedChanged(feed),
  });
}

function readStatus(config: Config, parts: StatusParts, gathered: Gathered): StatusReport {
  const { clock, health, telemetry, specs } = parts;
  const { polls } = telemetry.specs;
  const now = clock.now();
  const rates = telemetry.rates.read();
  const settings = {
    url: displayUrl(config.upstreamUrl),
    throughProxy: config.upstreamProxied,
    intervalMs: config.pollIntervalMs,
    staleAfterMs: parts.upstream.staleAfterMs(),
    endpoints: parts.upstream.endpoints,
  };
  const { store, preload } = specs;
  const { staleAfterMs } = settings;
  const { path: bootstrapPath } = config.bootstrap;
  const { oversized } = telemetry.rpc;
  const { fleet } = gathered;
  const claimant = (feed: Feed) => fleet && findClaimant(fleet, feedId(feed));
  const readings = { store, preload, polls, rates, oversized, clock, staleAfterMs, claimant };
  const found = findFeeds(readings);
  const hasOthers = ({ held, feed }: FeedHealth) => held === undefined && store.holds(feed.sdkKey);
  const upstream = findUpstream(found, polls.upstream, (finding) => !hasOthers(finding));
  const backupParts = { ...parts, now, localBytes: gathered.localBytes };
  const [redis, local] = [redisStatus(config, backupParts), localStatus(config, backupParts)];
  const events = eventsStatus(config, parts);
  const notReady = health.notReady();
  const lists = parts.idLists.status();
  const pins = specs.pins?.pinnedKeys() ?? [];
  const upstreamStatus = formatUpstream(upstream, polls.upstream, settings);
  const problems = [
    ...findProblems({ telemetry, now, notReady, upstream, redis, local, events }),
    ...endpointProblems(upstreamStatus),
    ...bootstrapProblems(telemetry.bootstrap),
    ...(lists === undefined ? [] : idListProblems(lists)),
    ...streamProblems(parts.serving.streamLimit),
    ...pinProblems(pins),
  ].map(withNextStep);
  return {
    now: toIso(now),
    state: notReady.length > 0 ? "not_ready" : problems.length > 0 ? "degraded" : "ok",
    problems,
    relay: relayStatus(config, now, telemetry),
    traffic: trafficStatus(config, parts, rates, gathered),
    sdks: telemetry.http.sdks.read(),
    upstream: upstreamStatus,
    redis,
    fleet: fleet === undefined ? null : formatFleet(fleet, config.redis.fleetPolling, clock),
    local,
    bootstrap: bootstrapPath === undefined ? null : formatBootstrap(bootstrapPath, telemetry.bootstrap),
    id_lists: lists === undefined ? null : formatIdLists(lists, config.idLists),
    events,
    sinks: sinkStatuses(telemetry),
    certificate: certificateStatus(telemetry),
    pins: formatPins(pins),
    feeds_total: found.length,
    feeds_by_state: countByState(found),
    feeds: formatFeeds(found, readings),
  };
}

function relayStatus(
  { mode, cache, bootstrap: { offline } }: Config,
  now: number,
  { startedAt, serving }: RunningTelemetry,
): RelayStatus {
  return {
    version: VERSION,
    commit: COMMIT,
    bun_version: RUNTIME.name === "Bun" ? RUNTIME.version : "",
    runtime: `${RUNTIME.name} ${RUNTIME.version}`,
    mode,
    cache,
    offline,
    host: hostname(),
    pid: process.pid,
    started_at: toIso(startedAt),
    uptime_s: ageSeconds(now, startedAt),
    memory_bytes: process.memoryUsage.rss(),
    serving_threads: { wanted: serving.wanted, running: serving.running },
  };
}

function trafficStatus(
  config: Config,
  { specs, serving, telemetry }: StatusParts,
  rates: Rates,
  { connections }: Gathered,
): TrafficStatus {
  return {
    requests_per_s: rates.http,
    failed_per_s: rates.failed,
    rpcs_per_s: rates.rpcs,
    in_flight: serving.requestsInFlight(),
    streams: serving.streamLimit.open,
    max_streams: serving.streamLimit.maxStreams,
    sdk_keys: specs.store.keyCount,
    max_sdk_keys: config.maxKeys,
    connections: Object.fromEntries(connections),
    deltas: deltaStatus(config, telemetry),
    config_specs: telemetry.http.transfer.read(),
  };
}

function deltaStatus({ deltaHistory }: Config, { registry }: RunningTelemetry): DeltaStatus {
  const count = (result: DeltaUse["result"]) => registry.series("DeltaResponse", { result }).count;
  return {
    versions: deltaHistory,
    sent: count("delta"),
    full: count("full"),
    saved_bytes: sumCounts(registry, "DeltaSavedBytes"),
  };
}

function eventsStatus({ events: settings }: Config, { telemetry, events }: StatusParts): EventsStatus {
  const { logEvents, registry } = telemetry;
  const { delayed, sentAt, latestError } = logEvents;
  return {
    upstream_url: displayUrl(settings.upstreamUrl),
    durable: events.isDurable,
    spool_path: settings.spool?.path ?? null,
    events: events.depth.events,
    bytes: events.depth.bytes,
    filled: Math.round(events.filled * 1_000) / 1_000,
    state: delayed === undefined ? "ok" : "delayed",
    delayed_since: toIsoOrNull(delayed?.since),
    last_sent_at: toIsoOrNull(sentAt),
    last_error: latestError.error,
    accepted: sumCounts(registry, "LogEventAccepted"),
    forwarded: sumCounts(registry, "LogEventForwarded"),
    dropped: sumCounts(registry, "LogEventDropped"),
  };
}

function sinkStatuses({ sinks }: RunningTelemetry): readonly SinkStatus[] {
  return [...sinks.states].map(([name, failing]) => ({
    name,
    state: failing === undefined ? "ok" : "failing",
    since: toIsoOrNull(failing?.since),
    reason: failing?.reason ?? null,
  }));
}

function certificateStatus({ tls }: RunningTelemetry): CertificateStatus | null {
  const { certificate, refused } = tls;
  if (certificate === undefined) return null;
  const { serial, expiresAt } = certificate;
  return { serial, expires_at: toIsoOrNull(expiresAt), refused };
}

interface BackupStatusParts {
  readonly telemetry: RunningTelemetry;
  readonly backup: BackupParts | undefined;
  readonly specs: RunningSpecs;
  readonly now: number;
  readonly localBytes: number | null;
}

/** Returns null if CACHE has another value. */
function redisStatus(config: Config, parts: BackupStatusParts): RedisStatus | null {
  if (config.cache !== "redis") return null;
  const { redis, backup } = parts.telemetry;
  const problem = redis.down ?? redis.rejectsWrites;
  return {
    address: describeAddress(config.redis.connection),
    state: redis.down ? "down" : redis.rejectsWrites ? "refuses_writes" : "ok",
    since: toIsoOrNull(problem?.since),
    reason: problem?.reason ?? null,
    fleet_polling: config.redis.fleetPolling,
    ...backupLag(parts),
    last_write_at: toIsoOrNull(redis.lastWriteAt),
    last_read_at: toIsoOrNull(redis.lastReadAt),
    last_error: backup.latestError.error,
  };
}

/** Returns null if CACHE has another value. */
function localStatus(config: Config, parts: BackupStatusParts): LocalStatus | null {
  if (config.cache !== "local") return null;
  const { telemetry, specs, localBytes: bytes } = parts;
  const { latestError } = telemetry.backup;
  const { unusable } = telemetry.sqlite;
  const { path, maxBytes } = config.local;
  const waitingSince = specs.backupLag()?.since;
  const isFailing = waitingSince !== undefined && latestError.at >= waitingSince;
  return {
    path,
    state: unusable ? "unusable" : isFailing ? "failing" : "ok",
    since: toIsoOrNull(unusable?.since ?? (isFailing ? waitingSince : undefined)),
    reason: unusable?.reason ?? (isFailing ? (latestError.error?.detail ?? null) : null),
    bytes,
    max_bytes: maxBytes,
    ...backupLag(parts),
    last_error: latestError.error,
  };
}

function backupLag({ specs, now }: BackupStatusParts): Pick<RedisStatus, "behind_feeds" | "lag_s"> {
  const lag = specs.backupLag();
  if (lag === undefined) return { behind_feeds: null, lag_s: null };
  return { behind_feeds: lag.feeds, lag_s: lag.since === undefined ? 0 : ageSeconds(now, lag.since) };
}

/** Returns the size of the database and its write-ahead log, or null if there is no database. */
async function localBytes({ cache, local }: Config): Promise<number | null> {
  if (cache !== "local") return null;
  const file = join(local.path, SPECS_FILE_NAME);
  const found = await Promise.all([file, `${file}-wal`].map((path) => stat(path).catch(() => undefined)));
  const sizes = found.flatMap((each) => each?.size ?? []);
  return sizes.length === 0 ? null : sizes.reduce((sum, size) => sum + size);
}
