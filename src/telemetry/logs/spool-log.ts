import type { Clock } from "../../clock.ts";
import type { SpoolEvent } from "../../local/event-spool-events.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";
import { ThrottledLogs } from "./throttled-log.ts";

const WORDS = { begins: "spool failing", lasts: "spool still failing", ends: "spool mended" };

/** Log lines of the event spool. */
export class SpoolLog {
  readonly #logger: Logger;
  readonly #outage: OutageLog;
  readonly #throttled: ThrottledLogs;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#outage = new OutageLog(logger, clock, WORDS);
    this.#throttled = new ThrottledLogs(logger, clock);
  }

  write(event: SpoolEvent): void {
    switch (event.kind) {
      case "spool_failing":
        this.#outage.failed("spool", { fields: { detail: event.detail }, count: 0 });
        return;
      case "spool_mended":
        if (!this.#outage.ended("spool")) debugLine(this.#logger, event);
        return;
      case "spool_dropped": {
        const { events, bytes, reason } = event;
        const fields = { events, bytes, reason };
        this.#throttled.of(reason).log("warn", "the event spool gave up events", fields);
        return;
      }
      case "spool_unusable":
        this.#throttled.of(event.kind).log("warn", "spool unusable", { detail: event.detail });
        return;
      case "spool_usable":
        this.#throttled.of(event.kind).log("info", "the event spool is in use now", {});
        return;
      case "spool_corrupt_set_aside": {
        const { setAsideAs, detail } = event;
        const fields = { set_aside_as: setAsideAs, detail };
        this.#throttled.of(event.kind).log("warn", "spool corrupt set aside", fields);
      }
    }
  }
}
