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
  test.each(kinds)("%s is one line that people and machines can read", (kind) => {
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

  test("an event of an SDK key has that key masked", () => {
    for (const { kind } of EXAMPLE_EVENTS.filter((event) => "sdkKey" in event)) {
      expect(JSON.stringify(linesOf(kind, "debug"))).toMatch(/"sdk_key":"secret-exa\*\w{6}"/);
    }
  });
});

/** What operators may have rules for, at level info: names and messages that must not change unawares. */
const SHOWN = `
info  spec_updated: config specs updated (feed lcut previous_lcut bytes source took_ms)
warn  spec_refused: upstream failing, serving what is held (cause detail feed)
warn  spec_fetch_failed: upstream failing, serving what is held (cause detail feed)
warn  spec_unauthorized: upstream failing, serving what is held (cause detail feed)
warn  backup_removed_elsewhere: another relay removed a key's config from the backup, since upstream refuses the key (feed)
info  spec_evicted: SDK key made room for another: more are in use than may be held (feed option)
warn  spec_not_held: no room for another SDK key: all have streams or are preloaded (feed maximum_concurrent_sdk_keys)
warn  spec_polls_delayed: polls wait longer for their turn than the polling interval (waited_ms interval_ms option)
warn  backup_unusable: an entry of the backup can't be used, it is not served (feed detail)
warn  key_refused: too many unknown SDK keys are asked for (option)
info  allowed_keys_reloaded: allowed SDK keys reloaded (keys removed)
warn  allowed_keys_refused: the new list of allowed SDK keys can't be used, going on with the old one (reason)
warn  limit_reached: limit reached (limit)
info  client_vanished: client no longer answers, closed its connection ()
warn  connections_lowered: fewer connections than --max-connections: the system allows too few open files (connections_per_port open_files)
info  certificate_loaded: certificate replaced (serial expires)
warn  certificate_refused: new certificate files can't be used, going on with the old ones (reason)
warn  certificate_expires_soon: certificate expires soon (expires days_left)
warn  tls_client_refused: client refused: TLS (reason)
warn  stream_refused: stream refused: as many are open as may be (option)
warn  local_failing: the local backup does not work (cause detail)
warn  local_unusable: local unusable (detail)
info  local_usable: the local backup is in use now ()
warn  local_corrupt_set_aside: local corrupt set aside (set_aside_as detail)
warn  local_damage_replaced: local damage replaced (detail)
info  local_evicted: the local backup made room for newer keys (versions detail)
warn  spool_unusable: spool unusable (detail)
info  spool_usable: the event spool is in use now ()
warn  spool_corrupt_set_aside: spool corrupt set aside (set_aside_as detail)
warn  spool_dropped: the event spool gave up events (events bytes reason)
warn  spool_failing: spool failing (detail)
warn  redis_down: Redis can't be used, going on without (reason)
warn  redis_refuses_writes: Redis takes no writes, the backup there grows old (reason)
warn  redis_permission_missing: the Redis user lacks a permission (permission cost)
info  redis_permission_given: the Redis user has the permission now (permission)
info  id_lists_updated: ID lists updated (sdk_key lists source)
warn  id_lists_refused: upstream failing for ID lists, serving what is held (cause sdk_key detail)
warn  id_lists_fetch_failed: upstream failing for ID lists, serving what is held (cause sdk_key detail)
warn  id_lists_unauthorized: upstream failing for ID lists, serving what is held (cause sdk_key detail)
warn  id_lists_backup_failed: the backup does not work for ID lists (sdk_key action detail)
warn  id_list_left_out: an ID list is left out of the manifest (sdk_key list detail)
warn  id_list_file_failed: the file of an ID list could not be brought up to date (list detail)
warn  id_lists_folder_unusable: files of ID lists can't be kept, clients are sent to upstream for them (detail)
warn  log_events_rejected: an SDK's events were not taken (sdk_key reason detail)
warn  log_events_delayed: upstream does not take events now, trying again (sdk_key events detail retry_in_ms)
warn  log_events_dropped: upstream refused events for good, dropped them (sdk_key events reason detail)
warn  log_events_queue_failed: the queue of events does not work (action detail)
error log_events_left: events were not sent in time and are lost (events)
warn  loop_failed: unexpected error in a background loop, trying again (loop detail at retry_in_ms)
error task_failed: unexpected error, the relay goes on (task detail at)
warn  sink_failing: metrics can't be sent (sink detail)
`;

test("at level info these are shown, and no others", () => {
  const shown = kinds.flatMap((kind) =>
    linesOf(kind, "info").map(({ time: _, level, message, ...fields }) => {
      return `${String(level).padEnd(5)} ${kind}: ${message} (${Object.keys(fields).join(" ")})`;
    }),
  );
  expect(shown).toEqual(SHOWN.trim().split("\n"));
});
