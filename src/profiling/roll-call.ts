import type { Clock } from "../platform/clock.ts";
import { broadcast, type Member } from "../platform/profiling/orders.ts";
import { runningThreads, type StartedThread } from "../platform/profiling/threads.ts";
import { Replies } from "./replies.ts";

/** The name of the main thread, which takes part once there is a profiler. */
export const MAIN = "main";

/** A thread replies within some milliseconds, unless its event loop does not run. */
const ROLL_CALL_MS = 1_000;

/** Finds out which threads take part in a profile. A thread that is busy at first takes part as soon as it answers. */
export class RollCall implements Disposable {
  readonly #expected: readonly StartedThread[] = [{ name: MAIN, state: "runs" }, ...runningThreads()];
  readonly #answers = new Replies<Member>();

  /** Resolves when all threads have answered, or after a second. Rejects with the reason of the signal. */
  async call(parts: { readonly clock: Clock; readonly signal: AbortSignal }): Promise<void> {
    broadcast({ kind: "roll_call", replyTo: this.#answers.name });
    const isComplete = () => this.present.length >= this.#expected.length;
    await this.#answers.collect(isComplete, ROLL_CALL_MS, parts);
  }

  /** The threads that have answered, in this order. It grows until the roll call is disposed of. */
  get present(): readonly Member[] {
    return this.#answers.received;
  }

  /** Returns the names of threads that have answered and still run, and are not among those that delivered their part. */
  owing(delivered: readonly Member[]): readonly string[] {
    const silent = namesOf(except(this.present, delivered));
    return without(silent, [...this.#expectedThat("ended"), ...this.#expectedThat("lost")]);
  }

  /**
   * Returns the names of threads that ran at the beginning, and are not among those that delivered their part. A thread that has ended, such as
   * a Worker after its work, is not missing.
   */
  missing(delivered: readonly Member[]): readonly string[] {
    const unanswered = without(
      this.#expected.map(({ name }) => name),
      namesOf(this.present),
    );
    // A thread that joined later, or was too busy to answer before it delivered.
    const others = namesOf(except(delivered, this.present));
    const silent = namesOf(except(this.present, delivered));
    return without([...silent, ...without(unanswered, others)], this.#expectedThat("ended"));
  }

  #expectedThat(state: StartedThread["state"]): readonly string[] {
    return this.#expected.filter((thread) => thread.state === state).map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    this.#answers[Symbol.dispose]();
  }
}

function namesOf(members: readonly Member[]): readonly string[] {
  return members.map(({ thread }) => thread);
}

function except(members: readonly Member[], others: readonly Member[]): readonly Member[] {
  const ids = new Set(others.map(({ member }) => member));
  return members.filter(({ member }) => !ids.has(member));
}

/** Returns what is in `names` more often than in `others`. */
function without(names: readonly string[], others: readonly string[]): readonly string[] {
  const rest = [...others];
  return names.filter((name) => {
    const at = rest.indexOf(name);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}
