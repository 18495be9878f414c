import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { EmitSinkEvent, SinkName, SinkTelemetry } from "../topics/sinks.ts";

export interface SinkHealthOptions {
  readonly sink: SinkName;
  readonly clock: Clock;
  readonly emit: EmitSinkEvent;
  /** Called with the number of measurements, spans or profiles that were dropped. */
  readonly onDropped: (sink: SinkName, count: number) => void;
}

/** Whether a sink accepts data. Emits an event for each failure, and one when it recovers. */
export class SinkHealth {
  readonly #options: SinkHealthOptions;
  #failingSince: number | undefined;
  #dropped = 0;

  constructor(options: SinkHealthOptions) {
    this.#options = options;
  }

  dropped(count: number): void {
    if (count <= 0) return;
    this.#dropped += count;
    this.#options.onDropped(this.#options.sink, count);
  }

  /** `detail` appears in a log line. */
  failed(detail: string): void {
    const { sink, clock, emit } = this.#options;
    this.#failingSince ??= clock.elapsed();
    emit({ kind: "sink_failing", sink, detail });
  }

  worked(): void {
    const { sink, clock, emit } = this.#options;
    if (this.#failingSince === undefined) return;
    const failedForMs = clock.elapsed() - this.#failingSince;
    this.#failingSince = undefined;
    emit({ kind: "sink_recovered", sink, failedForMs, dropped: this.#dropped });
    this.#dropped = 0;
  }
}

/** The parts of the relay that senders of metrics and traces use. */
export interface SinkParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly registry: MetricRegistry;
  readonly sinks: SinkTelemetry;
  /** Owns every sender that is started. */
  readonly running: AsyncDisposableStack;
}

/** Registers a sink, which counts as working until it fails. What it drops is counted in the registry. */
export function expectSink(
  sink: SinkName,
  { clock, registry, sinks }: Omit<SinkParts, "running" | "supervisor">,
): SinkHealth {
  sinks.expect(sink);
  return new SinkHealth({ sink, clock, emit: sinks.emit, onDropped: countDropsIn(registry) });
}

export function countDropsIn(registry: MetricRegistry): SinkHealthOptions["onDropped"] {
  return (sink, count) => registry.count("MeasurementsDropped", { sink }, count);
}
