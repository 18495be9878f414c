import type { Clock } from "../../clock.ts";
import type { RpcEvent } from "../../grpc/events.ts";
import { type RelayEvent, type Topics, tell } from "../relay-event.ts";
import { BackupLog } from "./backup-log.ts";
import { debugLine } from "./debug-line.ts";
import { GuardLog } from "./guard-log.ts";
import { IdListLog } from "./id-list-log.ts";
import { LogEventsLog } from "./log-events-log.ts";
import type { Logger } from "./logger.ts";
import { SinkLog } from "./sink-log.ts";
import { SpecLog } from "./spec-log.ts";
import { SupervisionLog } from "./supervision-log.ts";
import { ThrottledLog } from "./throttled-log.ts";

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
