import type { SinkEvent } from "../sinks/events.ts";
import type { Logger } from "./logger.ts";

/** Log lines of the places that metrics are sent to: one when it begins to fail, one when that is over. */
export class SinkLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  write(event: SinkEvent): void {
    const { sink } = event;
    switch (event.kind) {
      case "sink_failing":
        this.#logger.log("warn", "metrics can't be sent", { sink, detail: event.detail });
        return;
      case "sink_works_again": {
        const { failedForMs, dropped } = event;
        const fields = { sink, for_s: Math.round(failedForMs / 1_000), dropped: dropped || undefined };
        this.#logger.log("info", "metrics are sent again", fields);
      }
    }
  }
}
