import type { AccessEvent } from "../../access/events.ts";
import { maskSdkKey } from "../../access/sdk-key.ts";
import type { LogEventsEvent } from "../../log-events/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { DescribedError } from "../../platform/errors.ts";
import type { LoopName, SupervisionEvent } from "../../platform/supervisor.ts";
import type { LimitEvent } from "../../server/limits.ts";
import type { TlsEvent } from "../../server/tls.ts";
import type { SpoolEvent } from "../../spool/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { KeyTags } from "../metrics/tags.ts";
import { type HappenedError, toIso } from "../status/schema.ts";
import type { Condition } from "./backup.ts";
import type { SinkEvent, SinkName } from "./push.ts";

type EventFlowEvent = LogEventsEvent | SpoolEvent;

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

const WORDS = { begins: "spool failing", lasts: "spool still failing", ends: "spool mended" };

/** Log lines of the event spool. */
class SpoolLog {
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
      case "spool_recovered":
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

/** What happens to SDKs' events, as measurements. */
export function measureLogEvents(
  event: LogEventsEvent | SpoolEvent,
  registry: MetricRegistry,
  keys: KeyTags,
): void {
  switch (event.kind) {
    case "log_events_accepted":
      registry.count("LogEventAccepted", keys.of(event.sdkKey), event.events);
      if (event.duplicates > 0)
        registry.count("LogEventStoreDeduped", keys.of(event.sdkKey), event.duplicates);
      return;
    case "log_events_window_turned":
      registry.count("LogEventStoreDedupeCacheCleared", {});
      return;
    case "log_events_rejected":
      registry.count("LogEventRequestRejected", { reason: event.reason });
      return;
    case "log_events_sent":
      registry.count("LogEventForwarded", keys.of(event.sdkKey), event.events);
      registry.time("LogEventForwardRequest", keys.of(event.sdkKey), event.tookMs);
      return;
    case "log_events_delayed":
      registry.count("LogEventForwardDelayed", {});
      return;
    case "log_events_dropped":
      registry.count("LogEventDropped", { reason: event.reason }, event.events);
      return;
    case "log_events_left":
      if (event.outcome === "lost") registry.count("LogEventDropped", { reason: "shutdown" }, event.events);
      return;
    case "spool_dropped":
      registry.count("LogEventDropped", { reason: `spool_${event.reason}` }, event.events);
      return;
    case "log_events_queue_failed":
      registry.count("LogEventQueueFailed", { action: event.action });
      return;
    case "spool_failing":
    case "spool_unusable":
    case "spool_corrupt_set_aside":
      registry.count("LogEventQueueFailed", { action: event.kind });
      return;
    case "spool_recovered":
    case "spool_usable":
  }
}

/** Remembers how SDKs' events, certificates, the list of allowed keys and the places of monitoring do. */
export class FlowMemory {
  readonly #clock: Clock;
  readonly failingSinks = new Map<SinkName, Condition>();
  /** Loops of which at least one fails unexpectedly. */
  readonly failingLoops = new Map<LoopName, Condition>();
  /** The last unexpected error of what is no loop. */
  taskFailed: Condition | undefined;
  eventsDelayed: Condition | undefined;
  spoolFailing: Condition | undefined;
  eventsSentAt: number | undefined;
  eventsError: HappenedError | null = null;
  certificate: { readonly serial: string; readonly expiresAt: number } | undefined;
  certificateRefused: HappenedError | null = null;
  allowedKeysRefused: Condition | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  writeGuard(event: AccessEvent | LimitEvent | TlsEvent): void {
    switch (event.kind) {
      case "certificate_loaded":
        this.certificate = { serial: event.serial, expiresAt: event.expiresAt };
        this.certificateRefused = null;
        return;
      case "certificate_refused":
        this.certificateRefused = this.#error(event.reason);
        return;
      case "allowed_keys_refused":
        this.allowedKeysRefused = this.#from(event.detail);
        return;
      case "allowed_keys_reloaded":
        this.allowedKeysRefused = undefined;
        return;
      // Single clients.
      default:
    }
  }

  writeLogEvents(event: LogEventsEvent | SpoolEvent): void {
    switch (event.kind) {
      case "log_events_sent":
        this.eventsSentAt = this.#clock.now();
        this.eventsDelayed = undefined;
        return;
      case "log_events_delayed":
        this.eventsError = this.#error(event.detail);
        this.eventsDelayed ??= this.#from(event.detail);
        return;
      case "log_events_dropped":
      case "log_events_queue_failed":
        this.eventsError = this.#error(event.detail);
        return;
      case "spool_unusable":
      case "spool_failing":
        this.spoolFailing ??= this.#from(event.detail);
        return;
      case "spool_recovered":
      case "spool_usable":
        this.spoolFailing = undefined;
        return;
      default:
    }
  }

  writeSinks(event: SinkEvent): void {
    if (event.kind === "sink_failing") this.failingSinks.set(event.sink, this.#from(event.detail));
    else this.failingSinks.delete(event.sink);
  }

  writeSupervision(event: SupervisionEvent): void {
    switch (event.kind) {
      case "loop_failed": {
        const since = this.failingLoops.get(event.loop)?.since ?? this.#clock.now();
        this.failingLoops.set(event.loop, { since, reason: shownError(event) });
        return;
      }
      case "loop_recovered":
        if (event.failing === 0) this.failingLoops.delete(event.loop);
        return;
      case "task_failed":
        this.taskFailed = this.#from(`${event.task}: ${shownError(event)}`);
    }
  }

  #error(detail: string): HappenedError {
    return { at: toIso(this.#clock.now()), detail };
  }

  #from(reason: string): Condition {
    return { since: this.#clock.now(), reason };
  }
}

const shownError = ({ detail, at }: DescribedError): string =>
  at === undefined ? detail : `${detail}, at ${at}`;
