import { maskSdkKey } from "../../access/sdk-key.ts";
import type { EmitLogEventsEvent, LogEventsEvent } from "../../log-events/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { KeyTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";
import { type Incident, LatestError } from "../status/incident.ts";

const OUTAGE = {
  begins: "log events not forwarded, retrying",
  lasts: "log events still not forwarded",
  ends: "log events forwarded again",
  failing: "failing_keys",
  causeField: "detail",
};

/** Logs, metrics and status of log events on their way from SDKs to upstream. */
export class LogEventsTelemetry {
  readonly emit: EmitLogEventsEvent;
  delayed: Incident | undefined;
  /** Ms since the Unix epoch. */
  sentAt: number | undefined;
  readonly latestError: LatestError;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  readonly #clock: Clock;
  readonly #outages: OutageLog;
  readonly #throttled: ThrottledLogs;

  constructor({ logger, registry, keys, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.latestError = new LatestError(clock);
    this.#logger = logger;
    this.#registry = registry;
    this.#keys = keys;
    this.#clock = clock;
    this.#outages = new OutageLog(logger, clock, OUTAGE);
    this.#throttled = new ThrottledLogs(logger, clock);
  }

  #record(event: LogEventsEvent): void {
    switch (event.kind) {
      case "log_events_accepted":
      case "log_events_window_turned":
      case "log_events_rejected":
        this.#recordIntake(event);
        return;
      case "log_events_sent":
      case "log_events_delayed":
      case "log_events_dropped":
        this.#recordForwarding(event);
        return;
      case "log_events_queue_failed": {
        const { action, detail } = event;
        this.#registry.count("LogEventQueueFailed", { action });
        this.latestError.record(detail);
        this.#throttled.of(action).log("warn", "log event queue operation failed", { action, detail });
        return;
      }
      case "log_events_left":
        this.#recordShutdown(event);
    }
  }

  #recordIntake(
    event: Extract<LogEventsEvent, { kind: `log_events_${"accepted" | "window_turned" | "rejected"}` }>,
  ): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "log_events_accepted": {
        const tags = this.#keys.of(event.sdkKey);
        registry.count("LogEventAccepted", tags, event.events);
        if (event.duplicates > 0) registry.count("LogEventStoreDeduped", tags, event.duplicates);
        debugLine(this.#logger, event);
        return;
      }
      case "log_events_window_turned":
        registry.count("LogEventStoreDedupeCacheCleared", {});
        debugLine(this.#logger, event);
        return;
      case "log_events_rejected": {
        const { reason, detail } = event;
        registry.count("LogEventRequestRejected", { reason });
        const fields = { sdk_key: maskSdkKey(event.sdkKey), reason, detail };
        this.#throttled.of(reason).log("warn", "rejected log events", fields);
      }
    }
  }

  #recordForwarding(
    event: Extract<LogEventsEvent, { kind: `log_events_${"sent" | "delayed" | "dropped"}` }>,
  ): void {
    const registry = this.#registry;
    const sdkKey = maskSdkKey(event.sdkKey);
    switch (event.kind) {
      case "log_events_sent": {
        const tags = this.#keys.of(event.sdkKey);
        registry.count("LogEventForwarded", tags, event.events);
        registry.time("LogEventForwardRequest", tags, event.tookMs);
        this.sentAt = this.#clock.now();
        this.delayed = undefined;
        debugLine(this.#logger, event);
        this.#outages.ended(sdkKey);
        return;
      }
      case "log_events_delayed": {
        const { events, detail, trouble, retryInMs } = event;
        registry.count("LogEventForwardDelayed", {});
        this.latestError.record(detail);
        this.delayed = { since: this.delayed?.since ?? this.#clock.now(), reason: detail };
        const fields = { sdk_key: sdkKey, events, detail, retry_in_ms: retryInMs };
        this.#outages.failed(sdkKey, { cause: detail, isOwn: trouble === "key", fields });
        return;
      }
      case "log_events_dropped": {
        const { events, reason, detail } = event;
        registry.count("LogEventDropped", { reason }, events);
        if (reason === "offline") {
          debugLine(this.#logger, event);
          return;
        }
        this.latestError.record(detail);
        const fields = { sdk_key: sdkKey, events, reason, detail };
        this.#throttled.of(reason).log("warn", "dropped log events: upstream does not accept them", fields);
        // Upstream responded, so forwarding works.
        this.#outages.ended(sdkKey);
      }
    }
  }

  #recordShutdown(event: Extract<LogEventsEvent, { kind: "log_events_left" }>): void {
    const { kind, events, outcome } = event;
    if (outcome === "lost") this.#registry.count("LogEventDropped", { reason: "shutdown" }, events);
    const log = this.#throttled.of(kind);
    if (outcome === "kept") log.log("info", "log events kept for the next start", { events });
    else log.log("error", "log events lost at shutdown", { events });
  }
}
