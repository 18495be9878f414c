import type { Clock } from "../../platform/clock.ts";
import type { EmitSpoolEvent, SpoolEvent } from "../../spool/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

const OUTAGE = {
  begins: "event spool failing",
  lasts: "event spool still failing",
  ends: "event spool recovered",
  causeField: "detail",
};

/** Logs, metrics and status of the event spool on disk. */
export class SpoolTelemetry {
  readonly emit: EmitSpoolEvent;
  failing: Incident | undefined;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #outages: OutageLog;
  readonly #throttled: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#clock = clock;
    this.#outages = new OutageLog(logger, clock, OUTAGE);
    this.#throttled = new ThrottledLogs(logger, clock);
  }

  #record(event: SpoolEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "spool_failing":
        registry.count("LogEventQueueFailed", { action: event.kind });
        this.#failed(event.detail);
        this.#outages.failed("spool", { cause: event.detail, fields: { detail: event.detail } });
        return;
      case "spool_recovered":
        this.failing = undefined;
        if (!this.#outages.ended("spool")) debugLine(this.#logger, event);
        return;
      case "spool_unusable": {
        const { kind, detail } = event;
        registry.count("LogEventQueueFailed", { action: kind });
        this.#failed(detail);
        this.#throttled.of(kind).log("warn", "event spool unusable, keeping events in memory", { detail });
        return;
      }
      case "spool_usable": {
        const forS = this.failing && Math.round((this.#clock.now() - this.failing.since) / 1_000);
        this.failing = undefined;
        this.#throttled.of(event.kind).log("info", "event spool opened", { forS });
        return;
      }
      case "spool_corrupt_set_aside": {
        const { kind, setAsideAs, detail } = event;
        registry.count("LogEventQueueFailed", { action: kind });
        const fields = { set_aside_as: setAsideAs, detail };
        this.#throttled.of(kind).log("warn", "corrupt event spool set aside, created a new one", fields);
        return;
      }
      case "spool_dropped": {
        const { events, bytes, reason } = event;
        registry.count("LogEventDropped", { reason: `spool_${reason}` }, events);
        this.#throttled.of(reason).log("warn", "event spool dropped events", { events, bytes, reason });
      }
    }
  }

  #failed(reason: string): void {
    this.failing ??= { since: this.#clock.now(), reason };
  }
}
