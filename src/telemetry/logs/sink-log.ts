import type { Clock } from "../../clock.ts";
import type { SinkEvent, SinkName } from "../sinks/events.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { OutageLog, type OutageWords } from "./outage-log.ts";

/** Log lines of the places that metrics and traces are sent to. */
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
    const log = this.#logs.get(sink) ?? new OutageLog(this.#logger, this.#clock, wordsFor(sink));
    this.#logs.set(sink, log);
    if (event.kind === "sink_failing") log.failed(sink, { fields: { sink, detail: event.detail }, count: 0 });
    else if (!log.ended(sink, { sink, dropped: event.dropped || undefined })) debugLine(this.#logger, event);
  }
}

function wordsFor(sink: SinkName): OutageWords {
  const what = sink === "otlp-traces" ? "traces" : "metrics";
  return {
    begins: `${what} can't be sent`,
    lasts: `${what} still can't be sent`,
    ends: `${what} are sent again`,
  };
}
