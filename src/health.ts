/** What the relay as a whole is able to do, for probes. */
export type Phase = "starting" | "serving" | "draining";

/** Reasons why clients should go elsewhere. */
export type NotReadyReason = () => string | undefined;

/** Told by whoever knows, asked by the probes of every protocol. Health never depends on upstream. */
export class Health {
  #phase: Phase = "starting";
  readonly #reasons: NotReadyReason[] = [];

  get phase(): Phase {
    return this.#phase;
  }

  become(phase: Phase): void {
    this.#phase = phase;
  }

  /** Adds a condition: while it gives a reason, the relay is not ready. */
  require(reason: NotReadyReason): void {
    this.#reasons.push(reason);
  }

  /** Why the relay is not ready, or undefined where it is. */
  notReady(): string | undefined {
    if (this.#phase !== "serving") return this.#phase;
    for (const reason of this.#reasons) {
      const text = reason();
      if (text !== undefined) return text;
    }
    return undefined;
  }
}
