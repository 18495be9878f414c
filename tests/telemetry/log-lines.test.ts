import { describe, expect, test } from "bun:test";
import { LineLogger, type LogLevel } from "../../src/telemetry/logging/logger.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { EVENT_KEY, EXAMPLE_EVENTS, startExamples } from "../support/telemetry/relay-events.ts";

type Kind = (typeof EXAMPLE_EVENTS)[number]["kind"];

/** The lines, as JSON, that a new log writes for an event. */
function linesOf(kind: Kind, level: LogLevel): Record<string, unknown>[] {
  const lines: string[] = [];
  const logger = new LineLogger((line) => lines.push(line), { format: "json", level });
  startExamples(logger, new FakeClock())(kind);
  return lines.map((line) => JSON.parse(line));
}

const kinds = EXAMPLE_EVENTS.map(({ kind }) => kind);

describe("at level debug", () => {
  test.each(kinds)("%s is one well-formed line", (kind) => {
    const [line = {}, ...more] = linesOf(kind, "debug");
    expect(more).toEqual([]);
    expect(line["message"]).toMatch(/^\w[\w' :,-]+$/);
    for (const [name, value] of Object.entries(line)) {
      expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(["string", "number", "boolean"]).toContain(typeof value);
    }
    const text = JSON.stringify(line);
    expect(text).not.toContain(EVENT_KEY);
    expect(text).not.toContain("[object");
  });

  test("SDK keys of events are masked", () => {
    for (const { kind } of EXAMPLE_EVENTS.filter((event) => "sdkKey" in event)) {
      expect(JSON.stringify(linesOf(kind, "debug"))).toMatch(/"sdk_key":"secret-exa\*\w{6}"/);
    }
  });
});

/** The lines at level info. Operators may match messages and fields, so a change must be deliberate. */
const SHOWN = `
info  spec_updated: config specs updated (feed lcut previous_lcut bytes source took_ms)
info  spec_republished: config specs published again (feed version lcut previous_lcut)
info  spec_held_back: newer config specs held back, SDK key is pinned (feed lcut served_lcut)
warn  pins_failing: pins cannot be read or stored, the last ones apply (detail)
info  pins_recovered: pins can be read and stored again ()
warn  spec_refused: upstream failing, serving last known config (cause detail feed)
warn  spec_delta_refused: delta rejected, fetching whole config specs (detail feed)
warn  spec_fetch_failed: upstream failing, serving last known config (cause detail feed)
warn  spec_unauthorized: upstream failing, serving last known config (cause detail feed)
warn  spec_unavailable: upstream failing, no config to serve (cause detail feed)
info  spec_evicted: evicted SDK key: --maximum-concurrent-sdk-keys reached (feed option)
warn  spec_not_held: SDK key not cached: all cached keys have streams or are preloaded (feed maximum_concurrent_sdk_keys)
warn  spec_polls_delayed: polls delayed beyond the polling interval (waited_ms interval_ms option)
warn  endpoint_failing: upstream endpoint failing (cause endpoint using detail)
warn  backup_removed_elsewhere: backup entry removed by another relay: upstream rejected the SDK key (feed)
warn  backup_unusable: backup entry unusable, not served (feed detail)
info  bootstrap_read: bootstrap files read (path usable unusable)
warn  bootstrap_unusable: bootstrap file unusable (file reason)
warn  bootstrap_for_every_key: bootstrap file names no SDK key, every allowed key gets its config specs (file files)
warn  bootstrap_failed: bootstrap files cannot be read (path reason)
warn  bootstrap_missing: no bootstrap file for this SDK key, no config to serve (feed)
warn  bootstrap_same_time: bootstrap file changed without a later time, clients may keep what they have (file feed)
warn  bootstrap_refused: bootstrap file not served (file feed reason)
warn  redis_down: Redis unavailable, serving from memory (reason)
warn  redis_refuses_writes: Redis rejects writes, backup going stale (reason)
warn  redis_token_failed: access token for Redis not renewed, last one stays in use (reason)
warn  redis_permission_missing: Redis permission missing (permission cost)
info  redis_permission_given: Redis permission granted (permission)
warn  local_failing: local backup failing (cause detail)
warn  local_unusable: local backup unusable, serving from memory (detail)
info  local_usable: local backup opened ()
warn  local_corrupt_set_aside: corrupt local backup set aside, created a new one (set_aside_as detail)
warn  local_damage_replaced: damaged entry of local backup overwritten (detail)
info  local_evicted: local backup limit reached, evicted least recently used entries (versions detail)
info  id_lists_updated: ID lists updated (sdk_key lists source)
warn  id_lists_refused: upstream failing for ID lists, serving last known lists (cause sdk_key detail)
warn  id_lists_fetch_failed: upstream failing for ID lists, serving last known lists (cause sdk_key detail)
warn  id_lists_unauthorized: upstream failing for ID lists, serving last known lists (cause sdk_key detail)
warn  id_lists_backup_failed: backup operation failed for ID lists (sdk_key action detail)
warn  id_list_left_out: ID list omitted from manifest (sdk_key list detail)
warn  id_list_file_failed: ID list file not updated (list detail)
warn  id_lists_folder_unusable: ID list folder unusable, clients fetch lists from upstream (detail)
warn  log_events_rejected: rejected log events (sdk_key reason detail)
warn  log_events_delayed: log events not forwarded, retrying (sdk_key events detail retry_in_ms)
warn  log_events_dropped: dropped log events: upstream does not accept them (sdk_key events reason detail)
warn  log_events_queue_failed: log event queue operation failed (action detail)
error log_events_left: log events lost at shutdown (events)
warn  spool_unusable: event spool unusable, keeping events in memory (detail)
info  spool_usable: event spool opened ()
warn  spool_corrupt_set_aside: corrupt event spool set aside, created a new one (set_aside_as detail)
warn  spool_dropped: event spool dropped events (events bytes reason)
warn  spool_failing: event spool failing (detail)
warn  key_refused: rejected unknown SDK keys: --unknown-key-rate-per-s reached (option)
info  allowed_keys_reloaded: allowed SDK keys reloaded (keys removed)
warn  allowed_keys_refused: invalid list of allowed SDK keys, keeping the previous one (reason)
warn  limit_reached: limit reached (limit)
info  client_vanished: client unresponsive, closed its connection ()
warn  wrong_protocol: client speaks another protocol than the port (reason client port)
warn  connections_lowered: lowered --max-connections: limit of open files too low (connections_per_port open_files)
info  operator_acted: operator action (action sdk_key client version)
warn  operator_refused: rejected request to the operator API: wrong token (client)
info  profile_taken: profile taken (profile client duration_ms threads missing bytes)
info  certificate_loaded: certificate replaced (serial expires)
warn  certificate_refused: invalid certificate files, keeping the current certificate (reason)
warn  certificate_expires_soon: certificate expires soon (expires days_left)
warn  tls_client_refused: TLS handshake failed (reason client port)
info  profiling_gate_turned: gate turned profiling on (lcut rule)
warn  profiling_gate_failed: profiling gate cannot be evaluated, profiling stays as it is (lcut detail retry_in_ms)
warn  profiling_gate_uses_id_list: profiling gate uses an ID list, in which no relay is (lcut list)
warn  stream_refused: stream rejected: limit of open streams reached (option)
warn  spec_too_large: config spec too large for gRPC clients, refusing them (feed bytes option detail)
info  thread_started: serving thread replaced (name)
error thread_lost: serving thread lost, replacing it (name reason detail)
warn  thread_failed_to_start: serving thread not started, retrying (name detail retry_in_ms)
warn  sink_failing: metric export failing (sink detail)
info  cloud_profiler_started: Google Cloud Profiler turned on (turned_on_by service version project zone credentials account)
info  cloud_profiler_stopped: Google Cloud Profiler turned off ()
info  cloud_profile_uploaded: first profile uploaded (profile bytes took_ms)
warn  cloud_profile_skipped: profile not taken, Google asks for another kind (reason)
warn  loop_failed: unexpected error in background loop, retrying (loop detail at retry_in_ms)
error task_failed: unexpected error, relay continues (task detail at)
`;

test("at level info, exactly these events are logged", () => {
  const shown = kinds.flatMap((kind) =>
    linesOf(kind, "info").map(({ time: _, level, message, ...fields }) => {
      return `${String(level).padEnd(5)} ${kind}: ${message} (${Object.keys(fields).join(" ")})`;
    }),
  );
  expect(shown).toEqual(SHOWN.trim().split("\n"));
});
