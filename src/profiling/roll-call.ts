import type { Clock } from "../platform/clock.ts";
import { broadcast, type Member } from "../platform/profiling/orders.ts";
import { runningThreads } from "../platform/profiling/threads.ts";
import { Replies } from "./replies.ts";

/** The name of the main thread, which takes part once there is a profiler. */
export const MAIN = "main";

/** A thread replies within some milliseconds, unless its event loop does not run. */
const ROLL_CALL_MS = 1_000;

/** Finds out which threads take part in a profile. A thread that is busy at first takes part as soon as it answers. */
export class RollCall implements Disposable {
  readonly #expected = namesOfRunning();
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
    return stillRunning(namesOf(except(this.present, delivered)), delivered);
  }

  /** Returns the names of all threads that ran at the beginning and still run, and are not among those that delivered their part. */
  missing(delivered: readonly Member[]): readonly string[] {
    const unanswered = without(this.#expected, namesOf(this.present));
    // What joined later has delivered for itself, or was too busy to answer.
    const others = namesOf(except(delivered, this.present));
    const silent = namesOf(except(this.present, delivered));
    return stillRunning([...silent, ...without(unanswered, others)], delivered);
  }

  [Symbol.dispose](): void {
    this.#answers[Symbol.dispose]();
  }
}

function namesOfRunning(): readonly string[] {
  return [MAIN, ...runningThreads()];
}

/** A thread that has ended, such as a Worker after its work, is not missing, but one that was replaced is: its replacement runs. */
function stillRunning(names: readonly string[], delivered: readonly Member[]): readonly string[] {
  return without(names, without(names, without(namesOfRunning(), namesOf(delivered))));
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
