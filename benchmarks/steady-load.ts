import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "./bench.ts";

export interface SteadyLoad<T> {
  /** Time from when a request was due to the end of its response. */
  readonly latenciesMs: readonly number[];
  readonly answers: readonly T[];
  readonly failures: readonly string[];
}

/**
 * Sends requests at a constant rate while `isOn` returns true, however slow responses are. Both callbacks get the number of
 * requests so far.
 */
export async function steadyLoad<T>(
  bench: Bench,
  perSecond: number,
  isOn: (asked: number) => boolean,
  ask: (asked: number) => Promise<T>,
): Promise<SteadyLoad<T>> {
  const latenciesMs: number[] = [];
  const answers: T[] = [];
  const failures: string[] = [];
  const asked: Promise<void>[] = [];
  const startedAt = performance.now();
  while (isOn(asked.length)) {
    const dueAt = startedAt + (asked.length * 1_000) / perSecond;
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: bench.signal });
    asked.push(
      ask(asked.length).then(
        (answer) => {
          latenciesMs.push(performance.now() - dueAt);
          answers.push(answer);
        },
        (error: unknown) => {
          failures.push(String(error));
        },
      ),
    );
  }
  await Promise.all(asked);
  return { latenciesMs, answers, failures };
}
