import type { Clock } from "../../platform/clock.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog, type OutageWords } from "../logging/outage-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";

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

/** How the places do that metrics are sent to, as measurements. */
export class SinkMetrics {
  readonly #up = new Map<SinkName, boolean>();

  constructor(registry: MetricRegistry) {
    registry.gauge("SinkUp", () => [...this.#up].map(([sink, isUp]) => [{ sink }, Number(isUp)] as const));
  }

  /** Every place, and whether it takes what it is sent. */
  get states(): ReadonlyMap<SinkName, boolean> {
    return this.#up;
  }

  /** It counts as working until it fails. */
  expect(sink: SinkName): void {
    this.#up.set(sink, true);
  }

  write({ kind, sink }: SinkEvent): void {
    this.#up.set(sink, kind === "sink_works_again");
  }
}

/** Where metrics are sent to; Prometheus fetches them itself and is none of these. */
export type SinkName = "statsd" | "datadog" | "statsig" | "otlp" | "otlp-traces";

/** What happens to the places that metrics are sent to. Each is told once, until the other. */
export type SinkEvent =
  | { readonly kind: "sink_failing"; readonly sink: SinkName; readonly detail: string }
  | {
      readonly kind: "sink_works_again";
      readonly sink: SinkName;
      readonly failedForMs: number;
      /** Measurements that were given up meanwhile. */
      readonly dropped: number;
    };

export type EmitSinkEvent = (event: SinkEvent) => void;
