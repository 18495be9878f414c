import { withTimeout } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { SinkChannel } from "./channel.ts";
import { takeMeasurements } from "./measurement.ts";
import type { PushTagFormat } from "./original-tags.ts";

interface PushLoopOptions {
  readonly registry: MetricRegistry;
  readonly channels: readonly SinkChannel[];
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
  readonly tagFormat: PushTagFormat;
}

/** Time limit at shutdown for sending the last values. */
const LAST_FLUSH_MS = 2_000;

/** Sends new measurements to every sink at intervals, and the last ones when it is disposed of. */
export class PushLoop implements AsyncDisposable {
  readonly #options: PushLoopOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: PushLoopOptions) {
    this.#options = options;
    const { clock, intervalMs, supervisor } = options;
    const { signal } = this.#stop;
    this.#running = supervisor.loop("metric_push", signal, async () => {
      await clock.sleep(intervalMs, signal);
      await this.#push();
    });
  }

  async #push(): Promise<void> {
    const measurements = await takeMeasurements(this.#options.registry, this.#options.tagFormat);
    for (const channel of this.#options.channels) channel.offer(measurements);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const { channels, clock, supervisor } = this.#options;
    await supervisor.task("metric_sink", () => this.#push());
    const settled = Promise.all(channels.map((channel) => channel.settled()));
    await withTimeout(settled, LAST_FLUSH_MS, clock);
    await Promise.all(channels.map((channel) => channel[Symbol.asyncDispose]()));
  }
}
