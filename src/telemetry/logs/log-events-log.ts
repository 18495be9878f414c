import type { Clock } from "../../clock.ts";
import type { SpoolEvent } from "../../local/event-spool-events.ts";
import type { LogEventsEvent } from "../../log-events/events.ts";
import { maskSdkKey } from "../../specs/sdk-key.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLog } from "./throttled-log.ts";

export type EventFlowEvent = LogEventsEvent | SpoolEvent;

/** Log lines of SDKs' events on their way to upstream. */
export class LogEventsLog {
  readonly #logger: Logger;
  readonly #rejected: ThrottledLog;
  readonly #delayed: ThrottledLog;
  readonly #dropped: ThrottledLog;
  readonly #queue: ThrottledLog;
  readonly #spooled: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#rejected = new ThrottledLog(logger, clock);
    this.#delayed = new ThrottledLog(logger, clock);
    this.#dropped = new ThrottledLog(logger, clock);
    this.#spooled = new ThrottledLog(logger, clock);
    this.#queue = new ThrottledLog(logger, clock);
  }

  write(event: EventFlowEvent): void {
    const { kind, ...rest } = event;
    const fields = "sdkKey" in rest ? { ...rest, sdkKey: maskSdkKey(rest.sdkKey) } : rest;
    switch (kind) {
      case "log_events_accepted":
      case "log_events_window_turned":
      case "log_events_sent":
        this.#logger.log("debug", kind.replaceAll("_", " "), fields);
        return;
      case "log_events_rejected":
        this.#rejected.log("warn", "an SDK's events were not taken", fields);
        return;
      case "log_events_delayed":
        this.#delayed.log("warn", "upstream does not take events now, trying again", fields);
        return;
      case "log_events_dropped":
        this.#dropped.log("warn", "upstream refused events for good, dropped them", fields);
        return;
      case "log_events_queue_failed":
        this.#queue.log("warn", "the queue of events does not work", fields);
        return;
      case "spool_dropped":
        this.#spooled.log("warn", "the event spool gave up events", fields);
        return;
      case "spool_unusable":
      case "spool_corrupt_set_aside":
      case "spool_failing":
        this.#logger.log("warn", kind.replaceAll("_", " "), fields);
        return;
      case "spool_mended":
        this.#logger.log("info", "spool mended");
        return;
      case "log_events_left": {
        const isLost = event.outcome === "lost";
        const message = isLost
          ? "events were not sent in time and are lost"
          : "events wait for the next start";
        this.#logger.log(isLost ? "error" : "info", message, { events: event.events });
      }
    }
  }
}
