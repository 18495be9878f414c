import type { RpcEvent } from "../grpc/events.ts";
import type { HttpEvent } from "../http/events.ts";
import type { IdListEvent } from "../id-lists/events.ts";
import type { LimitEvent } from "../limits/events.ts";
import type { SpoolEvent } from "../local/event-spool-events.ts";
import type { LocalEvent } from "../local/events.ts";
import type { LogEventsEvent } from "../log-events/events.ts";
import type { RedisEvent } from "../redis/events.ts";
import type { AccessEvent } from "../specs/access-events.ts";
import type { SpecEvent } from "../specs/events.ts";
import type { SupervisionEvent } from "../supervision/events.ts";
import type { TlsEvent } from "../tls/events.ts";
import type { SinkEvent } from "./sinks/events.ts";

/** Everything that happens in the relay: each folder has its own words, here they come together. */
export type RelayEvent =
  | SpecEvent
  | AccessEvent
  | LimitEvent
  | TlsEvent
  | RpcEvent
  | HttpEvent
  | LocalEvent
  | SpoolEvent
  | RedisEvent
  | IdListEvent
  | LogEventsEvent
  | SinkEvent
  | SupervisionEvent;

/** Whoever listens, by what the events are about. */
export interface Topics {
  specs(event: Exclude<SpecEvent, BackupUseEvent>): void;
  backups(event: BackupUseEvent | LocalEvent | RedisEvent): void;
  guard(event: AccessEvent | LimitEvent | TlsEvent): void;
  rpcs(event: RpcEvent): void;
  requests(event: HttpEvent): void;
  logEvents(event: LogEventsEvent | SpoolEvent): void;
  idLists(event: IdListEvent): void;
  sinks(event: SinkEvent): void;
  supervision(event: SupervisionEvent): void;
}

/** What came of a read or write of whatever backup there is. */
export type BackupUseEvent = Extract<SpecEvent, { kind: `backup_${string}` }>;

export type BackupFailed = Extract<SpecEvent, { kind: "backup_failed" }>;

/** The one place that sorts events. */
export function tell(event: RelayEvent, topics: Topics): void {
  if (isSupervision(event)) {
    topics.supervision(event);
    return;
  }
  if (isSpecEvent(event)) {
    topics.specs(event);
    return;
  }
  switch (event.kind) {
    case "key_refused":
    case "allowed_keys_reloaded":
    case "allowed_keys_refused":
    case "limit_reached":
    case "client_vanished":
    case "connections_lowered":
    case "certificate_loaded":
    case "certificate_refused":
    case "certificate_expires_soon":
    case "tls_client_refused":
      topics.guard(event);
      return;
    case "stream_opened":
    case "stream_sent":
    case "stream_closed":
    case "stream_refused":
    case "rpc_answered":
      topics.rpcs(event);
      return;
    case "http_request":
      topics.requests(event);
      return;
    case "log_events_accepted":
    case "log_events_window_turned":
    case "log_events_rejected":
    case "log_events_sent":
    case "log_events_delayed":
    case "log_events_dropped":
    case "log_events_queue_failed":
    case "log_events_left":
    case "spool_dropped":
    case "spool_unusable":
    case "spool_usable":
    case "spool_corrupt_set_aside":
    case "spool_failing":
    case "spool_mended":
      topics.logEvents(event);
      return;
    case "id_lists_updated":
    case "id_lists_unchanged":
    case "id_lists_refused":
    case "id_lists_fetch_failed":
    case "id_lists_unauthorized":
    case "id_lists_backup_failed":
    case "id_list_left_out":
    case "id_list_file_updated":
    case "id_list_file_failed":
    case "id_list_file_removed":
    case "id_lists_folder_unusable":
      topics.idLists(event);
      return;
    case "sink_failing":
    case "sink_works_again":
      topics.sinks(event);
      return;
    default:
      topics.backups(event);
  }
}

function isSpecEvent(
  event: RelayEvent,
): event is Extract<RelayEvent, { kind: `spec_${string}` | "fleet_looked" }> {
  return event.kind.startsWith("spec_") || event.kind === "fleet_looked";
}

function isSupervision(event: RelayEvent): event is SupervisionEvent {
  switch (event.kind) {
    case "loop_failed":
    case "loop_recovered":
    case "task_failed":
      return true;
    default:
      return false;
  }
}
