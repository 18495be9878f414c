import type { Clock } from "../../platform/clock.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog, type OutageMessages } from "../logging/outage-log.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

/** A destination of metrics, traces or profiles. Prometheus scrapes the relay and is not a sink. */
export type SinkName = "statsd" | "datadog" | "statsig" | "otlp" | "otlp-traces" | "gcp-profiler";

/** Whether a sink accepts what it is sent. */
export type SinkEvent =
  /** Emitted for each failure. */
  | { readonly kind: "sink_failing"; readonly sink: SinkName; readonly detail: string }
  /** Emitted at the first success after a failure. */
  | {
      readonly kind: "sink_recovered";
      readonly sink: SinkName;
      readonly failedForMs: number;
      /** Measurements, spans or profiles that were dropped in the meantime. */
      readonly dropped: number;
    };

export type EmitSinkEvent = (event: SinkEvent) => void;

/** Logs, metrics and status of the sinks. */
export class SinkTelemetry {
  readonly emit: EmitSinkEvent;
  /** All sinks; the value is undefined if the sink works. */
  readonly states = new Map<SinkName, Incident | undefined>();
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #outages = new Map<SinkName, OutageLog>();

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#clock = clock;
    registry.gauge("SinkUp", () =>
      [...this.states].map(([sink, failing]) => [{ sink }, Number(failing === undefined)]),
    );
  }

  /** Registers a sink. It counts as working until it fails. */
  expect(sink: SinkName): void {
    this.states.set(sink, undefined);
  }

  /** Takes a sink away that was turned off, with what it failed for. */
  forget(sink: SinkName): void {
    this.states.delete(sink);
    this.#outages.delete(sink);
  }

  #record(event: SinkEvent): void {
    const { sink } = event;
    const outages = this.#outagesOf(sink);
    switch (event.kind) {
      case "sink_failing": {
        const { detail } = event;
        const since = this.states.get(sink)?.since ?? this.#clock.now();
        this.states.set(sink, { since, reason: detail });
        outages.failed(sink, { cause: detail, fields: { sink, detail } });
        return;
      }
      case "sink_recovered": {
        this.states.set(sink, undefined);
        const fields = { sink, dropped: event.dropped || undefined };
        if (!outages.ended(sink, fields)) debugLine(this.#logger, event);
      }
    }
  }

  #outagesOf(sink: SinkName): OutageLog {
    const log = this.#outages.get(sink) ?? new OutageLog(this.#logger, this.#clock, messagesFor(sink));
    this.#outages.set(sink, log);
    return log;
  }
}

function messagesFor(sink: SinkName): OutageMessages {
  const what = WHAT[sink] ?? "metric";
  return {
    begins: `${what} export failing`,
    lasts: `${what} export still failing`,
    ends: `${what} export recovered`,
    causeField: "detail",
  };
}

/** What is sent to the sinks that are not for metrics. */
const WHAT: Partial<Record<SinkName, string>> = { "otlp-traces": "trace", "gcp-profiler": "profile" };
