import type { Clock } from "../../clock.ts";
import type { SinkEvent, SinkName } from "../sinks/events.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";

const WORDS = {
  begins: "metrics can't be sent",
  lasts: "metrics still can't be sent",
  ends: "metrics are sent again",
};

/** Log lines of the places that metrics are sent to. */
export class SinkLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #logs = new Map<SinkName, OutageLog>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  write(event: SinkEvent): void {
    const { sink } = event;
    const log = this.#logs.get(sink) ?? new OutageLog(this.#logger, this.#clock, WORDS);
    this.#logs.set(sink, log);
    if (event.kind === "sink_failing") log.failed(sink, { fields: { sink, detail: event.detail } });
    else if (!log.ended(sink, { sink, dropped: event.dropped || undefined })) debugLine(this.#logger, event);
  }
}
