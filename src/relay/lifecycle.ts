import type { Clock } from "../platform/clock.ts";

/** What the relay as a whole is able to do, for probes. */
type Phase = "starting" | "serving" | "draining";

/** Reasons why clients should go elsewhere, for people. */
export type NotReadyReasons = () => readonly string[];

/** Told by whoever knows, asked by the probes of every protocol. Whether the process lives never depends on upstream. */
export class Health {
  #phase: Phase = "starting";
  readonly #conditions: NotReadyReasons[] = [];

  get phase(): Phase {
    return this.#phase;
  }

  become(phase: Phase): void {
    this.#phase = phase;
  }

  /** Adds a condition: while it gives a reason, the relay is not ready. */
  require(condition: NotReadyReasons): void {
    this.#conditions.push(condition);
  }

  /** Every reason why the relay is not ready; none where it is. */
  notReady(): readonly string[] {
    const reasons = this.#conditions.flatMap((condition) => condition());
    return this.#phase === "serving" ? reasons : [this.#phase, ...reasons];
  }
}

/** The time that everything together may take to end well. */
export class Grace implements Disposable {
  readonly #over = new AbortController();
  readonly #ended = new AbortController();

  constructor(ms: number, clock: Clock) {
    clock.sleep(ms, this.#ended.signal).then(
      () => this.#over.abort(),
      () => {},
    );
  }

  /** Aborted when the time is up. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}
