import type { Clock } from "../../clock.ts";
import type { EmitSinkEvent, SinkName } from "./events.ts";

export interface SinkHealthOptions {
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
