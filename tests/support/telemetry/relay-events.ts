import type { Clock } from "../../../src/platform/clock.ts";
import type { Logger } from "../../../src/telemetry/logging/logger.ts";
import { MetricRegistry } from "../../../src/telemetry/metrics/registry.ts";
import { KeyTags } from "../../../src/telemetry/metrics/tags.ts";
import { createTelemetry, type Telemetry } from "../../../src/telemetry/telemetry.ts";
import { feedOf, sdkKeyOf, snapshotOf } from "../specs/snapshots.ts";

/** The SDK key of every event below that has one. */
export const EVENT_KEY = "secret-example-0123456789abcdef";

const sdkKey = sdkKeyOf(EVENT_KEY);
const feed = feedOf(EVENT_KEY);
const detail = "connection refused";

type Subject = keyof Telemetry;
type EventOf<S extends Subject> = Parameters<Telemetry[S]["emit"]>[0];
type EventKind = { [S in Subject]: EventOf<S>["kind"] }[Subject];

type Examples = {
  readonly [S in Subject]: {
    readonly [Kind in EventOf<S>["kind"]]: Extract<EventOf<S>, { readonly kind: Kind }>;
  };
};

/** One event of every kind, by the subject that receives it. */
const EXAMPLES: Examples = {
  specs: {
    spec_updated: { kind: "spec_updated", snapshot: snapshotOf(feed, 7), previousLcut: 6, tookMs: 3.21 },
    spec_unchanged: { kind: "spec_unchanged", feed, lcut: 7, tookMs: 3.21 },
    spec_republished: {
      kind: "spec_republished",
      snapshot: { ...snapshotOf(feed, 9), original: { lcut: 7, checksum: "" } },
      previousLcut: 8,
    },
    spec_held_back: { kind: "spec_held_back", feed, lcut: 10, servedLcut: 9, tookMs: 3.21 },
    pins_failing: { kind: "pins_failing", detail },
    pins_recovered: { kind: "pins_recovered" },
    spec_refused: { kind: "spec_refused", feed, reason: "older", detail, held: true, tookMs: 3.21 },
    spec_delta_refused: { kind: "spec_delta_refused", feed, detail },
    spec_fetch_failed: {
      kind: "spec_fetch_failed",
      feed,
      cause: "unreachable",
      detail,
      held: true,
      tookMs: 3.21,
    },
    spec_unauthorized: { kind: "spec_unauthorized", feed, status: 401, tookMs: 3.21, whatIsHeld: "kept" },
    spec_response: { kind: "spec_response", feed, held: true, from: "cdn", status: 200, bytes: 9 },
    spec_unavailable: { kind: "spec_unavailable", feed, cause: "unreachable", detail },
    fleet_looked: { kind: "fleet_looked", seen: "ours" },
    spec_evicted: { kind: "spec_evicted", feed },
    spec_not_held: { kind: "spec_not_held", feed, maxKeys: 10 },
    spec_poll_began: { kind: "spec_poll_began", waitedMs: 3.21 },
    spec_polls_delayed: { kind: "spec_polls_delayed", waitedMs: 32_100, intervalMs: 10_000 },
    spec_polls_on_time: { kind: "spec_polls_on_time" },
  },
  upstream: {
    endpoint_asked: { kind: "endpoint_asked", endpoint: "relay.example:8000", result: "usable" },
    endpoint_failing: {
      kind: "endpoint_failing",
      url: "https://cdn.example",
      failure: { cause: "unreachable", detail },
      using: "http://relay.example:8000",
    },
    endpoint_recovered: {
      kind: "endpoint_recovered",
      url: "https://cdn.example",
      using: "https://cdn.example",
    },
  },
  backup: {
    backup_removed_elsewhere: { kind: "backup_removed_elsewhere", feed },
    backup_unusable: { kind: "backup_unusable", feed, detail },
    backup_failed: { kind: "backup_failed", source: "local", feed, action: "write", detail },
  },
  bootstrap: {
    bootstrap_read: {
      kind: "bootstrap_read",
      path: "/etc/specs",
      usable: 2,
      unusable: [{ name: "a.json", reason: "it is empty" }],
    },
    bootstrap_unusable: { kind: "bootstrap_unusable", name: "a.json", reason: "it is empty" },
    bootstrap_for_every_key: { kind: "bootstrap_for_every_key", files: 1, name: "b.json" },
    bootstrap_failed: { kind: "bootstrap_failed", path: "/etc/specs", reason: detail },
    bootstrap_missing: { kind: "bootstrap_missing", feed },
    bootstrap_same_time: { kind: "bootstrap_same_time", feed, name: "a.json" },
    bootstrap_refused: { kind: "bootstrap_refused", feed, name: "a.json", reason: detail },
  },
  redis: {
    redis_down: { kind: "redis_down", reason: detail },
    redis_refuses_writes: { kind: "redis_refuses_writes", reason: "READONLY" },
    redis_accepts_writes: { kind: "redis_accepts_writes" },
    redis_token_failed: { kind: "redis_token_failed", reason: detail },
    redis_token_renewed: { kind: "redis_token_renewed", lifeMs: 3_600_000, renewInMs: 2_700_000 },
    redis_permission_missing: {
      kind: "redis_permission_missing",
      permission: "+eval",
      cost: "writes take more round trips",
    },
    redis_permission_given: { kind: "redis_permission_given", permission: "+eval" },
    redis_up: { kind: "redis_up", downForMs: 3_000 },
    redis_wrote: { kind: "redis_wrote", feed, lcut: 7, bytes: 900, tookMs: 3.21 },
    redis_write_skipped: { kind: "redis_write_skipped", feed, lcut: 7, keptLcut: 8 },
    redis_write_failed: { kind: "redis_write_failed", feed, lcut: 7, reason: detail },
    redis_read: { kind: "redis_read", feed, lcut: 7, bytes: 900, tookMs: 3.21 },
    redis_read_miss: { kind: "redis_read_miss", feed },
    redis_read_failed: { kind: "redis_read_failed", feed, reason: detail },
    redis_read_unusable: { kind: "redis_read_unusable", feed, detail },
    redis_touched: { kind: "redis_touched", feed, isHeld: true },
    redis_touch_failed: { kind: "redis_touch_failed", feed, reason: detail },
    redis_deleted: { kind: "redis_deleted", feed },
    redis_delete_failed: { kind: "redis_delete_failed", feed, reason: detail },
  },
  sqlite: {
    local_failing: { kind: "local_failing", doing: "writing", detail },
    local_recovered: { kind: "local_recovered", doing: "writing" },
    local_unusable: { kind: "local_unusable", detail },
    local_usable: { kind: "local_usable" },
    local_corrupt_set_aside: { kind: "local_corrupt_set_aside", setAsideAs: "/a.corrupt", detail },
    local_damage_replaced: { kind: "local_damage_replaced", detail },
    local_evicted: { kind: "local_evicted", versions: 3, detail },
  },
  idLists: {
    id_lists_updated: { kind: "id_lists_updated", sdkKey, lists: 2, source: "upstream" },
    id_lists_unchanged: { kind: "id_lists_unchanged", sdkKey },
    id_lists_refused: { kind: "id_lists_refused", sdkKey, detail, held: true },
    id_lists_fetch_failed: {
      kind: "id_lists_fetch_failed",
      sdkKey,
      cause: "unreachable",
      detail,
      held: true,
    },
    id_lists_unauthorized: { kind: "id_lists_unauthorized", sdkKey, status: 401, whatIsHeld: "kept" },
    id_lists_backup_failed: { kind: "id_lists_backup_failed", sdkKey, action: "write", detail },
    id_list_left_out: { kind: "id_list_left_out", sdkKey, list: "a", detail },
    id_list_file_updated: {
      kind: "id_list_file_updated",
      list: "a",
      fileID: "f",
      addedBytes: 9,
      bytes: 99,
      tookMs: 3.21,
    },
    id_list_file_failed: { kind: "id_list_file_failed", list: "a", detail },
    id_list_file_removed: { kind: "id_list_file_removed", bytes: 99 },
    id_lists_folder_unusable: { kind: "id_lists_folder_unusable", detail },
  },
  logEvents: {
    log_events_accepted: { kind: "log_events_accepted", sdkKey, events: 3, duplicates: 1 },
    log_events_window_turned: { kind: "log_events_window_turned" },
    log_events_rejected: { kind: "log_events_rejected", sdkKey, reason: "malformed", detail: "no JSON" },
    log_events_sent: { kind: "log_events_sent", sdkKey, events: 3, tookMs: 3.21, waitedMs: 900 },
    log_events_delayed: {
      kind: "log_events_delayed",
      sdkKey,
      events: 3,
      detail,
      trouble: "upstream",
      retryInMs: 500,
    },
    log_events_dropped: { kind: "log_events_dropped", sdkKey, events: 3, reason: "refused", detail },
    log_events_queue_failed: { kind: "log_events_queue_failed", action: "take", detail },
    log_events_left: { kind: "log_events_left", events: 3, outcome: "lost" },
  },
  spool: {
    spool_unusable: { kind: "spool_unusable", detail },
    spool_usable: { kind: "spool_usable" },
    spool_corrupt_set_aside: { kind: "spool_corrupt_set_aside", setAsideAs: "/a.corrupt", detail },
    spool_dropped: { kind: "spool_dropped", events: 3, bytes: 900, reason: "age" },
    spool_failing: { kind: "spool_failing", detail },
    spool_recovered: { kind: "spool_recovered" },
  },
  access: {
    key_refused: { kind: "key_refused", reason: "throttled" },
    allowed_keys_reloaded: { kind: "allowed_keys_reloaded", keys: 2, removed: 1 },
    allowed_keys_refused: { kind: "allowed_keys_refused", detail: "the file is missing" },
  },
  limits: {
    limit_reached: { kind: "limit_reached", limit: "max-concurrent-requests" },
    client_vanished: { kind: "client_vanished" },
    wrong_protocol: {
      kind: "wrong_protocol",
      reason: "the client sent TLS to a port for HTTP without TLS: it must use http",
      client: "192.0.2.7",
      port: 8000,
    },
    connections_lowered: { kind: "connections_lowered", connections: 100, descriptors: 256 },
  },
  operators: {
    operator_acted: {
      kind: "operator_acted",
      action: "roll back",
      sdkKey: feed.sdkKey,
      from: "10.0.0.1",
      detail: { version: 7 },
    },
    operator_refused: { kind: "operator_refused", from: "10.0.0.1" },
    profile_taken: {
      kind: "profile_taken",
      profile: "cpu",
      from: "10.0.0.1",
      durationMs: 10_003,
      threads: 6,
      missing: ["http-2"],
      bytes: 20_000,
    },
  },
  tls: {
    certificate_loaded: { kind: "certificate_loaded", replaces: true, serial: "0A", expiresAt: 1e12 },
    certificate_refused: { kind: "certificate_refused", reason: "the file is missing" },
    certificate_expires_soon: { kind: "certificate_expires_soon", expiresAt: 1e12, leftMs: 1e9 },
    tls_client_refused: {
      kind: "tls_client_refused",
      reason: "the certificate of the client has expired",
      client: "192.0.2.7",
      port: 8443,
    },
  },
  profilingGate: {
    profiling_gate_turned: { kind: "profiling_gate_turned", isOn: true, lcut: 7, rule: "everyone" },
    profiling_gate_evaluated: { kind: "profiling_gate_evaluated", lcut: 7 },
    profiling_gate_failed: { kind: "profiling_gate_failed", lcut: 7, detail, retryInMs: 10_000 },
    profiling_gate_uses_id_list: { kind: "profiling_gate_uses_id_list", lcut: 7, list: "a_list" },
  },
  http: {
    http_request: { kind: "http_request", method: "GET", route: "/v1/health", status: 200, tookMs: 3.21 },
  },
  rpc: {
    stream_opened: { kind: "stream_opened", feed, openStreams: 1 },
    stream_sent: { kind: "stream_sent", feed, item: "spec", lcut: 7, bytes: 9 },
    stream_closed: { kind: "stream_closed", feed, openStreams: 0 },
    stream_refused: { kind: "stream_refused", code: "resource_exhausted", isFull: true },
    spec_too_large: { kind: "spec_too_large", feed, bytes: 5_000_000 },
    rpc_answered: { kind: "rpc_answered", feed, code: "ok", bytes: 9, tookMs: 3.21 },
  },
  serving: {
    thread_started: { kind: "thread_started", name: "http-1", isReplacement: true },
    thread_lost: { kind: "thread_lost", name: "http-1", reason: "died", detail },
    thread_failed_to_start: { kind: "thread_failed_to_start", name: "http-1", detail, retryInMs: 1_000 },
  },
  sinks: {
    sink_failing: { kind: "sink_failing", sink: "statsd", detail },
    sink_recovered: { kind: "sink_recovered", sink: "statsd", failedForMs: 3_000, dropped: 9 },
  },
  cloudProfiler: {
    cloud_profiler_started: {
      kind: "cloud_profiler_started",
      source: "flag",
      service: "statsig-forward-proxy",
      version: "1.0.0",
      project: "project-1",
      zone: "europe-west1-b",
      credentials: "metadata server",
      account: "relay@project-1.iam.gserviceaccount.com",
    },
    cloud_profiler_stopped: { kind: "cloud_profiler_stopped" },
    cloud_profile_uploaded: {
      kind: "cloud_profile_uploaded",
      profile: "cpu",
      bytes: 20_000,
      tookMs: 10_300.21,
      isFirst: true,
    },
    cloud_profile_skipped: { kind: "cloud_profile_skipped", reason: 'profile type "WALL"' },
  },
  supervision: {
    loop_failed: {
      kind: "loop_failed",
      loop: "spec_polls",
      instance: 1,
      failing: 1,
      retryInMs: 1_000,
      detail: "TypeError: undefined is not an object",
      at: "specs/poller.ts:1:2",
    },
    loop_recovered: { kind: "loop_recovered", loop: "spec_polls", instance: 1, failing: 0 },
    task_failed: { kind: "task_failed", task: "unhandled_rejection", detail: "Error: a", at: "a.ts:1:2" },
  },
};

interface Example {
  readonly subject: Subject;
  readonly event: { readonly kind: EventKind };
}

const LISTED: readonly Example[] = Object.entries(EXAMPLES).flatMap(([subject, events]) =>
  Object.values(events).map((event) => ({ subject: subject as Subject, event })),
);

/** One event of every kind. */
export const EXAMPLE_EVENTS = LISTED.map(({ event }) => event);

/** Telemetry of its own, to which examples are emitted by their kind. */
export function startExamples(logger: Logger, clock: Clock): (kind: EventKind) => void {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: false });
  const telemetry = createTelemetry({ logger, registry, keys: new KeyTags(), clock, preload: [] });
  return (kind) => {
    const found = LISTED.find(({ event }) => event.kind === kind);
    if (found === undefined) throw new Error(`no example of ${kind}`);
    const emit = telemetry[found.subject].emit as (event: Example["event"]) => void;
    emit(found.event);
  };
}

/** Pairs of events. The second one ends the outage that the first one began. */
export const ENDINGS: readonly (readonly [begins: EventKind, ends: EventKind])[] = [
  ["spec_fetch_failed", "spec_unchanged"],
  ["spec_refused", "spec_updated"],
  ["spec_unauthorized", "spec_unchanged"],
  ["spec_polls_delayed", "spec_polls_on_time"],
  ["endpoint_failing", "endpoint_recovered"],
  ["id_lists_fetch_failed", "id_lists_unchanged"],
  ["id_lists_refused", "id_lists_updated"],
  ["log_events_delayed", "log_events_sent"],
  ["local_failing", "local_recovered"],
  ["local_unusable", "local_usable"],
  ["spool_failing", "spool_recovered"],
  ["spool_unusable", "spool_usable"],
  ["redis_down", "redis_up"],
  ["redis_refuses_writes", "redis_accepts_writes"],
  ["redis_token_failed", "redis_token_renewed"],
  ["redis_permission_missing", "redis_permission_given"],
  ["profiling_gate_failed", "profiling_gate_evaluated"],
  ["sink_failing", "sink_recovered"],
  ["loop_failed", "loop_recovered"],
];
