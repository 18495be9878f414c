import type { Clock } from "../platform/clock.ts";
import type { EmitSpecEvent } from "./events.ts";

/** How many intervals polls must be late before it is reported: a burst at the start is not a lasting lack of slots. */
const LASTS_INTERVALS = 3;

interface PollDelaysOptions {
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly intervalMs: () => number;
}

interface Late {
  readonly sinceMs: number;
  lastMs: number;
  isReported: boolean;
}

/** Detects polls that keep waiting longer than the polling interval: more are due than `--max-in-flight` lets through. */
export class PollDelays {
  readonly #options: PollDelaysOptions;
  #late: Late | undefined;

  constructor(options: PollDelaysOptions) {
    this.#options = options;
  }

  /** Call this when a poll starts, `waitedMs` after it was due. */
  began(waitedMs: number): void {
    const { clock, emit } = this.#options;
    const intervalMs = this.#options.intervalMs();
    emit({ kind: "spec_poll_began", waitedMs });
    const now = clock.elapsed();
    if (waitedMs > intervalMs) this.#wasLate(now, waitedMs, intervalMs);
    else if (this.#late !== undefined && now - this.#late.lastMs > intervalMs) this.#end();
  }

  #wasLate(now: number, waitedMs: number, intervalMs: number): void {
    const dueAt = now - waitedMs;
    // Before this poll became due, none was late for a while: earlier late polls are not part of this delay.
    if (this.#late !== undefined && dueAt - this.#late.lastMs > LASTS_INTERVALS * intervalMs) this.#end();
    this.#late ??= { sinceMs: now, lastMs: now, isReported: false };
    this.#late.lastMs = now;
    if (now - this.#late.sinceMs < LASTS_INTERVALS * intervalMs) return;
    this.#late.isReported = true;
    this.#options.emit({ kind: "spec_polls_delayed", waitedMs, intervalMs });
  }

  #end(): void {
    if (this.#late?.isReported) this.#options.emit({ kind: "spec_polls_on_time" });
    this.#late = undefined;
  }
}
