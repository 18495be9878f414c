import { setTimeout as timeout } from "node:timers/promises";
import type { Clock } from "../clock.ts";
import { describeError } from "./describe-error.ts";
import type { EmitSupervisionEvent, LoopName, TaskName } from "./events.ts";

export interface SupervisorOptions {
  readonly clock: Clock;
  readonly emit: EmitSupervisionEvent;
}

export type Round = (worked: () => void) => Promise<void>;

/** After the first failure; each further one in a row doubles it. */
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

/**
 * Runs what nobody waits for. An error that nobody expected neither ends it nor goes unnoticed: it is reported, and a
 * loop goes on after a delay. Errors that are expected are the loop's own matter.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  /** How many loops of each name fail now. */
  readonly #failing = new Map<LoopName, number>();
  #instances = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /**
   * Runs rounds, one after the other, until `signal` is aborted; a round must wait for something. The first begins at
   * once. One that throws is reported and followed by the next after 1 s, then 2 s, up to 60 s, as long as they throw
   * in a row. A loop works again when a round ends, or before that says `worked`: for rounds that wait for long after
   * their work. What a round throws after the abort is taken for its way to end. Never rejects.
   */
  async loop(name: LoopName, signal: AbortSignal, round: Round): Promise<void> {
    const instance = ++this.#instances;
    let failures = 0;
    const worked = () => {
      if (failures > 0) this.#recovered(name, instance);
      failures = 0;
    };
    while (!signal.aborted) {
      try {
        await round(worked);
        worked();
      } catch (error) {
        if (signal.aborted) break;
        if (failures === 0) this.#failing.set(name, (this.#failing.get(name) ?? 0) + 1);
        const retryInMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** failures++);
        const failing = this.#failing.get(name) ?? 0;
        this.#emit({
          kind: "loop_failed",
          loop: name,
          instance,
          failing,
          retryInMs,
          ...describeError(error),
        });
        await this.#pause(retryInMs, signal);
      }
    }
    worked();
  }

  /** Does something once. What it throws is reported; never rejects. */
  async task(name: TaskName, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.caught(name, error);
    }
  }

  /** Reports an error that was caught elsewhere. */
  caught(task: TaskName, error: unknown): void {
    this.#emit({ kind: "task_failed", task, ...describeError(error) });
  }

  #recovered(loop: LoopName, instance: number): void {
    const failing = Math.max(0, (this.#failing.get(loop) ?? 0) - 1);
    this.#failing.set(loop, failing);
    this.#emit({ kind: "loop_recovered", loop, instance, failing });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, signal);
    } catch {
      // Also a clock that is at fault must not make this a loop without a pause.
      if (!signal.aborted) await timeout(ms, undefined, { signal }).catch(() => {});
    }
  }

  /** A fault in what reports faults must not end what is supervised. */
  #emit(event: Parameters<EmitSupervisionEvent>[0]): void {
    try {
      this.#options.emit(event);
    } catch {
      // There is nobody left to tell.
    }
  }
}
