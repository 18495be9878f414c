import type { Supervisor } from "../../supervision/supervisor.ts";
import { aborted } from "./aborted.ts";
import type { Measurement } from "./measurement.ts";
import type { PushSink } from "./push-sink.ts";
import { SinkHealth, type SinkHealthOptions } from "./sink-health.ts";

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
