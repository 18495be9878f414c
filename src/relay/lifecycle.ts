import { untilAborted } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";

type Phase = "starting" | "serving" | "draining";

/** Returns the reasons why the relay is not ready, for probes and people; empty if it is. */
export type NotReadyReasons = () => readonly string[];

/** Readiness. Parts register conditions, and the probes of every protocol read them. Liveness never depends on upstream. */
export class Health {
  #phase: Phase = "starting";
  readonly #conditions: NotReadyReasons[] = [];

  get phase(): Phase {
    return this.#phase;
  }

  become(phase: Phase): void {
    this.#phase = phase;
  }

  /** Adds a condition: the relay is not ready while it returns a reason. */
  require(condition: NotReadyReasons): void {
    this.#conditions.push(condition);
  }

  /** Returns all reasons why the relay is not ready. */
  notReady(): readonly string[] {
    const reasons = this.#conditions.flatMap((condition) => condition());
    return this.#phase === "serving" ? reasons : [this.#phase, ...reasons];
  }
}

/** The time limit of a graceful shutdown, shared by all parts. */
export class ShutdownGrace implements Disposable {
  readonly #clock: Clock;
  readonly #endsAt: number;
  readonly #over = new AbortController();
  readonly #ended = new AbortController();

  constructor(ms: number, clock: Clock) {
    this.#clock = clock;
    this.#endsAt = clock.elapsed() + ms;
    clock.sleep(ms, this.#ended.signal).then(
      () => this.#over.abort(),
      () => {},
    );
  }

  /** Aborted when the time is over. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Negative when the time is over. */
  get leftMs(): number {
    return this.#endsAt - this.#clock.elapsed();
  }

  /** Resolves when the work is done or the time is over. */
  async unlessOver(work: Promise<void>): Promise<void> {
    await untilAborted(work, this.over).catch((error: unknown) => {
      if (!this.over.aborted) throw error;
    });
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}
