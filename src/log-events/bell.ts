import type { Clock } from "../platform/clock.ts";

/** Wakes whoever waits for it. */
export class WakeSignal {
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  #ringing = new AbortController();
  #planned = false;

  /** No wait is longer than until `stop`. */
  constructor(clock: Clock, stop: AbortSignal) {
    this.#clock = clock;
    this.#stop = stop;
  }

  ring(): void {
    this.#ringing.abort();
    this.#ringing = new AbortController();
  }

  /** Within `ms`, once for all who ask meanwhile. */
  ringSoon(ms: number): void {
    if (this.#planned) return;
    this.#planned = true;
    const rung = () => {
      this.#planned = false;
      this.ring();
    };
    this.#clock.sleep(ms, this.#stop).then(rung, () => {});
  }

  /** Until it rings, or for so long. */
  async wait(ms: number): Promise<void> {
    const woken = AbortSignal.any([this.#ringing.signal, this.#stop]);
    await this.#clock.sleep(ms, woken).catch(() => {});
  }
}
