import type { Clock } from "../clock.ts";
import type { RpcEvent } from "../grpc/events.ts";
import type { HttpEvent } from "../http/events.ts";
import type { IdListEvent } from "../id-lists/events.ts";
import type { LocalEvent } from "../local/events.ts";
import type { RedisEvent } from "../redis/events.ts";
import type { AccessEvent } from "../specs/access-events.ts";
import type { SpecEvent } from "../specs/events.ts";
import { describeFeed } from "../specs/feed.ts";
import { AccessLog } from "./access-log.ts";
import { BackupLog } from "./backup-log.ts";
import { type GuardEvent, GuardLog } from "./guard-log.ts";
import { IdListLog } from "./id-list-log.ts";
import { type EventFlowEvent, LogEventsLog } from "./log-events-log.ts";
import type { LogFields, Logger } from "./logger.ts";
import { SpecLog } from "./spec-log.ts";
import { ThrottledLog } from "./throttled-log.ts";

export type RelayEvent =
  | SpecEvent
  | AccessEvent
  | GuardEvent
  | RpcEvent
  | HttpEvent
  | LocalEvent
  | RedisEvent
  | IdListEvent
  | EventFlowEvent;

/** Writes events as log lines: what an operator must know always, the rest with `--debug-logging`. */
export class EventLog {
  readonly #logger: Logger;
  readonly #specs: SpecLog;
  readonly #backups: BackupLog;
  readonly #logEvents: LogEventsLog;
  readonly #idLists: IdListLog;
  readonly #access: AccessLog;
  readonly #guard: GuardLog;
  readonly #refusals: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#specs = new SpecLog(logger, clock);
    this.#logEvents = new LogEventsLog(logger, clock);
    this.#backups = new BackupLog(logger, clock);
    this.#idLists = new IdListLog(logger, clock);
    this.#access = new AccessLog(logger, clock);
    this.#guard = new GuardLog(logger, clock);
    this.#refusals = new ThrottledLog(logger, clock);
  }

  write(event: RelayEvent): void {
    switch (event.kind) {
      case "spec_updated":
      case "spec_unchanged":
      case "spec_refused":
      case "spec_fetch_failed":
      case "spec_unauthorized":
      case "spec_evicted":
      case "spec_not_held":
        this.#specs.write(event);
        return;
      case "backup_unusable":
      case "backup_failed":
      case "local_unusable":
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
      case "local_evicted":
      case "redis_down":
      case "redis_refuses_writes":
      case "redis_takes_writes":
      case "redis_up":
      case "lease_acquired":
      case "lease_lost":
        this.#backups.write(event);
        return;
      case "id_lists_updated":
      case "id_lists_refused":
      case "id_lists_fetch_failed":
      case "id_lists_unauthorized":
      case "id_lists_backup_failed":
      case "id_list_file_updated":
      case "id_list_file_failed":
      case "id_list_file_removed":
      case "id_lists_folder_unusable":
        this.#idLists.write(event);
        return;
      case "key_refused":
      case "allowed_keys_reloaded":
      case "allowed_keys_refused":
        this.#access.write(event);
        return;
      case "limit_reached":
      case "connections_lowered":
      case "certificate_loaded":
      case "certificate_refused":
      case "certificate_expires_soon":
      case "tls_client_refused":
        this.#guard.write(event);
        return;
      case "stream_refused":
        this.#writeRefusal(event);
        return;
      case "log_events_accepted":
      case "log_events_rejected":
      case "log_events_sent":
      case "log_events_delayed":
      case "log_events_dropped":
      case "log_events_queue_failed":
      case "log_events_left":
      case "spool_dropped":
      case "spool_unusable":
      case "spool_corrupt_set_aside":
      case "spool_failing":
      case "spool_mended":
        this.#logEvents.write(event);
        return;
      default:
        this.#logger.log("debug", event.kind.replaceAll("_", " "), debugFields(event));
    }
  }

  #writeRefusal({ code, isFull }: Extract<RpcEvent, { kind: "stream_refused" }>): void {
    const option = "--grpc-max-concurrent-streams";
    if (isFull) this.#refusals.log("warn", "stream refused: as many are open as may be", { option });
    else this.#logger.log("debug", "stream refused", { code });
  }
}

type DebugEvent = Exclude<
  RelayEvent,
  AccessEvent | Parameters<SpecLog["write"]>[0] | Parameters<BackupLog["write"]>[0] | IdListEvent
>;

function debugFields(event: DebugEvent): LogFields {
  const { kind: _, ...fields } = event;
  if ("tookMs" in fields) return { ...fields, tookMs: Number(fields.tookMs.toFixed(3)) };
  if (!("feed" in fields)) return fields;
  const { feed } = fields;
  return { ...fields, feed: typeof feed === "string" ? feed : describeFeed(feed) };
}
