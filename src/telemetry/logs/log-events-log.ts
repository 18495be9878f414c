import type { Clock } from "../../clock.ts";
import type { SpoolEvent } from "../../local/event-spool-events.ts";
import type { LogEventsEvent } from "../../log-events/events.ts";
import { maskSdkKey } from "../../specs/sdk-key.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";
import { SpoolLog } from "./spool-log.ts";
import { ThrottledLogs } from "./throttled-log.ts";

export type EventFlowEvent = LogEventsEvent | SpoolEvent;

const UPSTREAM = {
  begins: "upstream does not take events now, trying again",
  lasts: "upstream still does not take events",
  ends: "upstream takes events again",
  failing: "failing_keys",
};

/** Log lines of SDKs' events on their way to upstream. */
export class LogEventsLog {
  readonly #logger: Logger;
  readonly #throttled: ThrottledLogs;
  readonly #upstream: OutageLog;
  readonly #spool: SpoolLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#upstream = new OutageLog(logger, clock, UPSTREAM);
    this.#spool = new SpoolLog(logger, clock);
  }

  write(event: EventFlowEvent): void {
    switch (event.kind) {
      case "log_events_accepted":
      case "log_events_window_turned":
        debugLine(this.#logger, event);
        return;
      case "log_events_sent":
        debugLine(this.#logger, event);
        this.#upstream.ended(maskSdkKey(event.sdkKey));
        return;
      case "log_events_delayed": {
        const { events, detail, retryInMs } = event;
        const sdkKey = maskSdkKey(event.sdkKey);
        this.#upstream.failed(sdkKey, {
          fields: { sdk_key: sdkKey, events, detail, retry_in_ms: retryInMs },
        });
        return;
      }
      case "log_events_rejected":
      case "log_events_dropped":
      case "log_events_queue_failed":
      case "log_events_left":
        this.#writeProblem(event);
        return;
      default:
        this.#spool.write(event);
    }
  }

  #writeProblem(
    event: Extract<
      LogEventsEvent,
      { kind: `log_events_${"rejected" | "dropped" | "queue_failed" | "left"}` }
    >,
  ): void {
    switch (event.kind) {
      case "log_events_rejected": {
        const { reason, detail } = event;
        const fields = { sdk_key: maskSdkKey(event.sdkKey), reason, detail };
        this.#throttled.of(reason).log("warn", "an SDK's events were not taken", fields);
        return;
      }
      case "log_events_dropped": {
        const { events, reason, detail } = event;
        const sdkKey = maskSdkKey(event.sdkKey);
        const fields = { sdk_key: sdkKey, events, reason, detail };
        this.#throttled.of(reason).log("warn", "upstream refused events for good, dropped them", fields);
        // It answers.
        this.#upstream.ended(sdkKey);
        return;
      }
      case "log_events_queue_failed": {
        const { action, detail } = event;
        this.#throttled.of(action).log("warn", "the queue of events does not work", { action, detail });
        return;
      }
      case "log_events_left": {
        const { events, outcome } = event;
        const log = this.#throttled.of(event.kind);
        if (outcome === "kept") log.log("info", "events wait for the next start", { events });
        else log.log("error", "events were not sent in time and are lost", { events });
      }
    }
  }
}
