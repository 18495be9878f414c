import type { Clock } from "../../clock.ts";
import type { EmitSinkEvent, SinkName } from "./events.ts";
import type { Measurement } from "./measurement.ts";
import type { PushSink } from "./push-sink.ts";

export interface SinkChannelOptions {
  readonly sink: PushSink;
  /** Measurements that may wait. */
  readonly size: number;
  readonly clock: Clock;
  readonly emit: EmitSinkEvent;
  readonly onDropped: (sink: SinkName, count: number) => void;
}

/** After so long a place that does not answer counts as failing. */
const SEND_TIMEOUT_MS = 10_000;

/** Holds what a sink has not taken yet: bounded, whatever the sink does. */
export class SinkChannel implements AsyncDisposable {
  readonly #options: SinkChannelOptions;
  #waiting: Measurement[] = [];
  #sending: Promise<void> | undefined;
  #failingSince: number | undefined;
  #dropped = 0;

  constructor(options: SinkChannelOptions) {
    this.#options = options;
  }

  /** Never waits. What has no room is dropped, and counted. */
  offer(measurements: readonly Measurement[]): void {
    const room = Math.max(0, this.#options.size - this.#waiting.length);
    this.#waiting.push(...measurements.slice(0, room));
    this.#drop(measurements.length - room);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Resolves once everything that was offered is sent or given up. */
  async settled(): Promise<void> {
    await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.sink[Symbol.asyncDispose]();
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const measurements = this.#waiting;
      this.#waiting = [];
      try {
        await this.#options.sink.send(measurements, AbortSignal.timeout(SEND_TIMEOUT_MS));
        this.#worked();
      } catch (error) {
        this.#drop(measurements.length);
        this.#failed(error instanceof Error ? error.message : String(error));
      }
    }
  }

  #drop(count: number): void {
    if (count <= 0) return;
    this.#dropped += count;
    this.#options.onDropped(this.#options.sink.name, count);
  }

  #failed(detail: string): void {
    const { sink, clock, emit } = this.#options;
    if (this.#failingSince !== undefined) return;
    this.#failingSince = clock.elapsed();
    emit({ kind: "sink_failing", sink: sink.name, detail });
  }

  #worked(): void {
    const { sink, clock, emit } = this.#options;
    if (this.#failingSince === undefined) return;
    const failedForMs = clock.elapsed() - this.#failingSince;
    this.#failingSince = undefined;
    emit({ kind: "sink_works_again", sink: sink.name, failedForMs, dropped: this.#dropped });
    this.#dropped = 0;
  }
}
