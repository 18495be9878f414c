import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { EmitSinkEvent, SinkName, SinkTelemetry } from "../topics/push.ts";
import type { Measurement, PushSink } from "./measurement.ts";

export interface SinkChannelOptions extends Omit<SinkHealthOptions, "sink"> {
  readonly sink: PushSink;
  readonly supervisor: Supervisor;
  /** Measurements that may wait. */
  readonly size: number;
}

/** After so long a place that does not answer counts as failing. */
const SEND_TIMEOUT_MS = 10_000;

/** Holds what a sink has not taken yet: bounded, whatever the sink does. */
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

  /** Never waits. What has no room is dropped, and counted. */
  offer(measurements: readonly Measurement[]): void {
    const room = Math.max(0, this.#options.size - this.#waiting.length);
    this.#waiting = this.#waiting.concat(measurements.slice(0, room));
    this.#health.dropped(measurements.length - room);
    if (this.#waiting.length === 0) return;
    this.#sending ??= this.#options.supervisor.task("metric_sink", () => this.#sendAll());
  }

  /** Resolves once everything that was offered is sent or given up. */
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

  /** A sink that does not end counts as failing after the time limit, and is left alone until it has ended. */
  async #send(measurements: readonly Measurement[]): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([this.#timeLimit(ended.signal), this.#stopped.signal]);
    const sent = this.#options.sink.send(measurements, signal);
    try {
      await Promise.race([sent, aborted(signal)]);
      this.#health.worked();
    } catch (error) {
      this.#health.dropped(measurements.length);
      this.#health.failed(error instanceof Error ? error.message : String(error));
      await sent.catch(() => undefined);
    } finally {
      ended.abort();
    }
  }

  #timeLimit(ended: AbortSignal): AbortSignal {
    const late = new AbortController();
    const abort = () => late.abort(new Error(`nothing is taken for ${SEND_TIMEOUT_MS / 1_000} s`));
    this.#options.clock.sleep(SEND_TIMEOUT_MS, ended).then(abort, () => undefined);
    return late.signal;
  }
}

interface SinkHealthOptions {
  readonly sink: SinkName;
  readonly clock: Clock;
  readonly emit: EmitSinkEvent;
  /** Whatever is given up. */
  readonly onDropped: (sink: SinkName, count: number) => void;
}

/** Whether what is sent to a place arrives: told once when that ends, and once when it begins again. */
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

  /** `detail` is for people. */
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

/** Rejects with the reason when the signal is aborted; never settles where it is not. */
export function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal.aborted) reject(signal.reason);
  else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}
