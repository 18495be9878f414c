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
export class Grace implements Disposable {
  readonly #over = new AbortController();
  readonly #ended = new AbortController();

  constructor(ms: number, clock: Clock) {
    clock.sleep(ms, this.#ended.signal).then(
      () => this.#over.abort(),
      () => {},
    );
  }

  /** Aborted when the time is over. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}
