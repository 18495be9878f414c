import { untilAborted } from "../../platform/abort.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { Measurement, PushSink } from "./measurement.ts";
import { SinkHealth, type SinkHealthOptions } from "./sink-health.ts";

export interface SinkChannelOptions extends Omit<SinkHealthOptions, "sink"> {
  readonly sink: PushSink;
  readonly supervisor: Supervisor;
  /** Maximum number of measurements that wait while the sink sends others. */
  readonly size: number;
}

/** A sink that has not finished after this time counts as failing. */
const SEND_TIMEOUT_MS = 10_000;

/** A bounded queue in front of a sink: a sink that is slow or hangs delays nothing else and costs no more memory. */
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

  /** Never waits. Measurements that exceed the size are dropped and counted. */
  offer(measurements: readonly Measurement[]): void {
    const room = Math.max(0, this.#options.size - this.#waiting.length);
    this.#waiting = this.#waiting.concat(measurements.slice(0, room));
    this.#health.dropped(measurements.length - room);
    if (this.#waiting.length === 0) return;
    this.#sending ??= this.#options.supervisor.task("metric_sink", () => this.#sendAll());
  }

  /** Resolves when everything that was offered is sent or dropped. */
  async settled(): Promise<void> {
    await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("interrupted by the shutdown"));
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

  /** A sink that hangs counts as failing when the time limit is reached. It is not called again before it has settled. */
  async #send(measurements: readonly Measurement[]): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([this.#timeLimit(ended.signal), this.#stopped.signal]);
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

  /** Returns a signal that is aborted when the time limit is reached, unless `ended` is aborted before. */
  #timeLimit(ended: AbortSignal): AbortSignal {
    const limit = new AbortController();
    const abort = () => limit.abort(new Error(`not sent within ${SEND_TIMEOUT_MS / 1_000} s`));
    this.#options.clock.sleep(SEND_TIMEOUT_MS, ended).then(abort, () => undefined);
    return limit.signal;
  }
}
