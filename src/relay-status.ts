import { hostname } from "node:os";
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { StreamAdmission } from "./grpc/stream-admission.ts";
import type { Probes } from "./http/probes.ts";
import type { InFlight } from "./limits/in-flight.ts";
import type { BackupParts } from "./relay-backup.ts";
import { localBytes, localStatus, redisStatus } from "./relay-backup-status.ts";
import type { RunningEvents } from "./relay-events.ts";
import type { RunningIdLists } from "./relay-id-lists.ts";
import type { RunningListeners } from "./relay-listeners.ts";
import type { RunningSpecs } from "./relay-specs.ts";
import type { RunningTelemetry } from "./relay-telemetry.ts";
import { type FeedFinding, findFeeds, showFeeds } from "./telemetry/status/feed-statuses.ts";
import type { FlowMemory } from "./telemetry/status/flow-memory.ts";
import { idListProblems, showIdLists } from "./telemetry/status/id-list-status.ts";
import { ageS, isoOf, momentOf } from "./telemetry/status/moment.ts";
import { findProblems } from "./telemetry/status/problems.ts";
import type { Rates } from "./telemetry/status/request-rates.ts";
import { SharedReport } from "./telemetry/status/shared-report.ts";
import type {
  CertificateStatus,
  EventsStatus,
  RelayStatus,
  SinkStatus,
  StatusReport,
  TrafficStatus,
} from "./telemetry/status/status-report.ts";
import { totalOf } from "./telemetry/status/totals.ts";
import { countByState, findUpstream, showUpstream } from "./telemetry/status/upstream-status.ts";
import { shownUrl } from "./upstream-url.ts";
import { BUN_VERSION, COMMIT, VERSION } from "./version.ts";

export interface StatusParts {
  readonly clock: Clock;
  readonly probes: Probes;
  readonly telemetry: RunningTelemetry;
  readonly backup: BackupParts | undefined;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
  readonly listeners: RunningListeners;
  readonly inFlight: InFlight;
  readonly admission: StreamAdmission;
}

/** What can't be read at once. */
interface Gathered {
  readonly connections: Awaited<ReturnType<RunningListeners["connections"]>>;
  readonly localBytes: number | null;
}

/** A poll or two that fail, or are late, make no feed stale. */
const STALE_AFTER_INTERVALS = 3;

/** Behind other relays their intervals add up, which nobody here knows. */
const STALE_AFTER_RELAYED_MS = 60_000;

export interface RunningStatus {
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
    url: shownUrl(config.upstreamUrl),
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
  const hasOthers = ({ held, feed }: FeedFinding) => held === undefined && store.holds(feed.sdkKey);
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
    now: isoOf(now),
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
    started_at: isoOf(startedAt),
    uptime_s: ageS(now, startedAt),
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
    upstream_url: shownUrl(settings.upstreamUrl),
    durable: events.isDurable,
    spool_path: settings.spool?.path ?? null,
    events: events.depth.events,
    bytes: events.depth.bytes,
    filled: Math.round(events.filled * 1_000) / 1_000,
    state: eventsDelayed === undefined ? "ok" : "delayed",
    delayed_since: momentOf(eventsDelayed?.since),
    last_sent_at: momentOf(eventsSentAt),
    last_error: eventsError,
    accepted: totalOf(registry, "LogEventAccepted"),
    forwarded: totalOf(registry, "LogEventForwarded"),
    dropped: totalOf(registry, "LogEventDropped"),
  };
}

function sinkStatuses({ sinks, board }: RunningTelemetry): readonly SinkStatus[] {
  return [...sinks.states.keys()].map((name) => {
    const failing = board.flow.failingSinks.get(name);
    return {
      name,
      state: failing === undefined ? "ok" : "failing",
      since: momentOf(failing?.since),
      reason: failing?.reason ?? null,
    };
  });
}

function certificateStatus({ certificate, certificateRefused }: FlowMemory): CertificateStatus | null {
  if (certificate === undefined) return null;
  const { serial, expiresAt } = certificate;
  return { serial, expires_at: momentOf(expiresAt), refused: certificateRefused };
}
