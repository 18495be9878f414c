import type { EmitLocalEvent, LocalWork } from "./events.ts";

/** Whether the embedded backup can be read and written: told once when it no longer can, and once when it can again. */
export class LocalHealth {
  readonly #emit: EmitLocalEvent;
  readonly #failing = new Set<LocalWork>();

  constructor(emit: EmitLocalEvent) {
    this.#emit = emit;
  }

  isFailing(doing: LocalWork): boolean {
    return this.#failing.has(doing);
  }

  /** What the work comes to. */
  async watch<T>(doing: LocalWork, work: Promise<T>): Promise<T> {
    try {
      const done = await work;
      if (this.#failing.delete(doing)) this.#emit({ kind: "local_works_again", doing });
      return done;
    } catch (error) {
      if (!this.#failing.has(doing)) {
        this.#failing.add(doing);
        this.#emit({ kind: "local_failing", doing, detail: (error as Error).message });
      }
      throw error;
    }
  }
}
