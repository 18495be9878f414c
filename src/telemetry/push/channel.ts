import { untilAborted } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { EmitSinkEvent, SinkName, SinkTelemetry } from "../topics/push.ts";
import type { Measurement, PushSink } from "./measurement.ts";

export interface SinkChannelOptions extends Omit<SinkHealthOptions, "sink"> {
  readonly sink: PushSink;
  readonly supervisor: Supervisor;
  /** The maximum number of measurements that are buffered. */
  readonly size: number;
}

/** A sink that has not accepted a batch after this time counts as failing. */
const SEND_TIMEOUT_MS = 10_000;

/** Buffers measurements for a sink. The buffer is bounded, so that a slow sink cannot use up memory. */
export class SinkChannel implements AsyncDisposable {
  readonly #options: SinkChannelOptions;
  readonly #health: SinkHealth;
  readonly #stopped = new AbortController();
  #waiting: Measurement[] = [];
  #sending: Promise<void> | undefined;

  constructor(options: SinkChannelOptions) {
    this.#options = options;
    this.#health = new SinkHealth({ ...options, sink: options.sink.name });
  }

  /** Never blocks. Measurements beyond `size` are dropped and counted. */
  offer(measurements: readonly Measurement[]): void {
    const room = Math.max(0, this.#options.size - this.#waiting.length);
    this.#waiting = this.#waiting.concat(measurements.slice(0, room));
    this.#health.dropped(measurements.length - room);
    if (this.#waiting.length === 0) return;
    this.#sending ??= this.#options.supervisor.task("metric_sink", () => this.#sendAll());
  }

  /** Resolves when all offered measurements were sent or dropped. */
  async settled(): Promise<void> {
    await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("the relay stops"));
    await this.#options.sink[Symbol.asyncDispose]();
  }

  async #sendAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const measurements = this.#waiting;
        this.#waiting = [];
        await this.#send(measurements);
      }
    } finally {
      this.#sending = undefined;
    }
  }

  /** Marks the sink as failing after the time limit. The next batch waits until the sink has settled, even then. */
  async #send(measurements: readonly Measurement[]): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([this.#startTimeLimit(ended.signal), this.#stopped.signal]);
    const sent = this.#options.sink.send(measurements, signal);
    try {
      await untilAborted(sent, signal);
      this.#health.worked();
    } catch (error) {
      this.#health.dropped(measurements.length);
      this.#health.failed(error instanceof Error ? error.message : String(error));
      await sent.catch(() => undefined);
    } finally {
      ended.abort();
    }
  }

  #startTimeLimit(ended: AbortSignal): AbortSignal {
    const late = new AbortController();
    const abort = () => late.abort(new Error(`nothing accepted for ${SEND_TIMEOUT_MS / 1_000} s`));
    this.#options.clock.sleep(SEND_TIMEOUT_MS, ended).then(abort, () => undefined);
    return late.signal;
  }
}

interface SinkHealthOptions {
  readonly sink: SinkName;
  readonly clock: Clock;
  readonly emit: EmitSinkEvent;
  /** Called for everything that is dropped. */
  readonly onDropped: (sink: SinkName, count: number) => void;
}

/** Tracks whether a sink works. Emits an event when it starts to fail, and another when it has recovered. */
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

  /** `detail` is shown in the log and on the status page. */
  failed(detail: string): void {
    const { sink, clock, emit } = this.#options;
    if (this.#failingSince !== undefined) return;
    this.#failingSince = clock.elapsed();
    emit({ kind: "sink_failing", sink, detail });
  }

  worked(): void {
    const { sink, clock, emit } = this.#options;
    if (this.#failingSince === undefined) return;
    const failedForMs = clock.elapsed() - this.#failingSince;
    this.#failingSince = undefined;
    emit({ kind: "sink_works_again", sink, failedForMs, dropped: this.#dropped });
    this.#dropped = 0;
  }
}

/** What an exporter of metrics or traces needs from the rest of the relay. */
export interface SinkParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly registry: MetricRegistry;
  readonly sinks: SinkTelemetry;
  /** Owns what is started. */
  readonly running: AsyncDisposableStack;
}

/** Registers a sink, which counts as working until it fails. What it drops is counted. */
export function expectSink(sink: SinkName, { clock, registry, sinks }: SinkParts): SinkHealth {
  sinks.expect(sink);
  return new SinkHealth({ sink, clock, emit: sinks.emit, onDropped: dropsCountedIn(registry) });
}

export function dropsCountedIn(registry: MetricRegistry): (sink: SinkName, count: number) => void {
  return (sink, count) => registry.count("MeasurementsDropped", { sink }, count);
}
