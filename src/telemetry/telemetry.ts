import type { AccessEvent } from "../access/events.ts";
import type { RpcEvent } from "../grpc/events.ts";
import type { HttpEvent } from "../http/observer.ts";
import type { IdListEvent } from "../id-lists/events.ts";
import type { LogEventsEvent } from "../log-events/events.ts";
import type { Clock } from "../platform/clock.ts";
import type { SupervisionEvent } from "../platform/supervisor.ts";
import type { RedisEvent } from "../redis/events.ts";
import type { LimitEvent } from "../server/limits.ts";
import type { TlsEvent } from "../server/tls.ts";
import type { SpecEvent } from "../specs/events.ts";
import type { Feed } from "../specs/feed.ts";
import type { SpoolEvent } from "../spool/events.ts";
import type { LocalEvent } from "../sqlite/events.ts";
import { debugLine, type Logger } from "./logging/logger.ts";
import { ThrottledLog } from "./logging/throttled-log.ts";
import type { MetricRegistry } from "./metrics/registry.ts";
import type { KeyTags } from "./metrics/tags.ts";
import { GuardLog, GuardMetrics } from "./topics/access.ts";
import { BackupLog, BackupMemory, BackupMetrics } from "./topics/backup.ts";
import { IdListLog, measureIdLists } from "./topics/id-lists.ts";
import { FlowMemory, LogEventsLog, measureLogEvents } from "./topics/log-events.ts";
import { type SinkEvent, SinkLog, SinkMetrics } from "./topics/push.ts";
import { StreamMetrics } from "./topics/rpc.ts";
import { PollMemory, SpecLog, SpecMetrics } from "./topics/specs.ts";
import { measureSupervision, SupervisionLog } from "./topics/supervision.ts";

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
interface Topics {
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
function tell(event: RelayEvent, topics: Topics): void {
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
    case "spool_recovered":
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

/** Writes events as log lines: what an operator must know always, the rest with `--debug-logging`. */
export class EventLog {
  readonly #logger: Logger;
  readonly #topics: Topics;
  readonly #refusals: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#refusals = new ThrottledLog(logger, clock);
    const specs = new SpecLog(logger, clock);
    const logEvents = new LogEventsLog(logger, clock);
    const backups = new BackupLog(logger, clock);
    const idLists = new IdListLog(logger, clock);
    const guard = new GuardLog(logger, clock);
    const sinks = new SinkLog(logger, clock);
    const supervision = new SupervisionLog(logger, clock);
    this.#topics = {
      specs: (event) => specs.write(event),
      backups: (event) => backups.write(event),
      guard: (event) => guard.write(event),
      rpcs: (event) => this.#writeRpc(event),
      requests: (event) => debugLine(logger, event),
      logEvents: (event) => logEvents.write(event),
      idLists: (event) => idLists.write(event),
      sinks: (event) => sinks.write(event),
      supervision: (event) => supervision.write(event),
    };
  }

  write(event: RelayEvent): void {
    tell(event, this.#topics);
  }

  #writeRpc(event: RpcEvent): void {
    if (event.kind === "stream_refused" && event.isFull) {
      const option = "--grpc-max-concurrent-streams";
      this.#refusals.log("warn", "stream refused: as many are open as may be", { option });
    } else debugLine(this.#logger, event);
  }
}

/** Turns what happens into measurements. */
export class EventMetrics {
  readonly backups: BackupMetrics;
  readonly sinks: SinkMetrics;
  readonly #topics: Topics;

  constructor(registry: MetricRegistry, keys: KeyTags) {
    this.backups = new BackupMetrics(registry, keys);
    this.sinks = new SinkMetrics(registry);
    const specs = new SpecMetrics(registry);
    const streams = new StreamMetrics(registry);
    const guard = new GuardMetrics(registry);
    this.#topics = {
      specs: (event) => specs.write(event),
      backups: (event) => this.backups.write(event),
      guard: (event) => guard.write(event),
      rpcs: (event) => streams.write(event),
      // Counted where they are answered: RequestMetrics.
      requests: () => undefined,
      logEvents: (event) => measureLogEvents(event, registry, keys),
      idLists: (event) => measureIdLists(event, registry, keys),
      sinks: (event) => this.sinks.write(event),
      supervision: (event) => measureSupervision(event, registry),
    };
  }

  write(event: RelayEvent): void {
    tell(event, this.#topics);
  }
}

/** Remembers of what happens as much as an operator asks for: the last of each, and since when. */
export class StatusBoard {
  readonly polls: PollMemory;
  readonly backup: BackupMemory;
  readonly flow: FlowMemory;
  readonly #topics: Topics;

  constructor(clock: Clock, preload: readonly Feed[]) {
    const polls = new PollMemory(clock, preload);
    const backup = new BackupMemory(clock);
    const flow = new FlowMemory(clock);
    this.polls = polls;
    this.backup = backup;
    this.flow = flow;
    this.#topics = {
      specs: (event) => polls.write(event),
      backups: (event) => backup.write(event),
      guard: (event) => flow.writeGuard(event),
      logEvents: (event) => flow.writeLogEvents(event),
      sinks: (event) => flow.writeSinks(event),
      supervision: (event) => flow.writeSupervision(event),
      // Counted, not remembered.
      rpcs: () => undefined,
      requests: () => undefined,
      idLists: () => undefined,
    };
  }

  write(event: RelayEvent): void {
    tell(event, this.#topics);
  }
}
