import type { Clock } from "../clock.ts";
import type { EmitSpecEvent } from "./events.ts";

/** For how many intervals polls must go on being late: a burst at the start is no lasting lack of places. */
const LASTS_INTERVALS = 3;

export interface PollWaitsOptions {
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly intervalMs: () => number;
}

interface Late {
  readonly sinceMs: number;
  lastMs: number;
  isReported: boolean;
}

/** Notices when polls regularly wait longer for their turn than the polling interval: more is due than `-u` lets through. */
export class PollWaits {
  readonly #options: PollWaitsOptions;
  #late: Late | undefined;

  constructor(options: PollWaitsOptions) {
    this.#options = options;
  }

  /** A poll begins that was due so long ago. */
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
    // No poll was late for a while before this one became due: what was late then is another matter.
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
