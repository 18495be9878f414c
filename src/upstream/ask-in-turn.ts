import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";

export interface Answer<Member, Outcome> {
  readonly by: Member;
  readonly outcome: Outcome;
}

interface Turns<Member, Outcome> {
  /** Asks one member. `progressed` is to be called for each sign of life. Rejects only when `signal` is aborted. */
  ask(member: Member, signal: AbortSignal, progressed: () => void): Promise<Outcome>;
  /** Whether no other member needs to be asked. */
  isFinal(answer: Answer<Member, Outcome>): boolean;
  /** How long a member may be silent before the next one is asked as well. Undefined if one is asked at a time. */
  readonly hedge?: ((member: Member) => number) | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Limit of requests at the same time that are sent because another one is silent. Bun allows 256 in flight per process. */
const MAX_HEDGES = 48;
let hedges = 0;

/**
 * Asks one member after the other until one gives a final answer, which is the last one returned; the requests to the others
 * are then cancelled. With `hedge`, the next one is asked as well when no sign of life comes. Rejects when `signal` is aborted.
 */
export async function askInTurn<Member, Outcome>(
  members: readonly Member[],
  turns: Turns<Member, Outcome>,
): Promise<readonly Answer<Member, Outcome>[]> {
  using asking = new Asking(members, turns);
  const answers: Answer<Member, Outcome>[] = [];
  asking.startNext();
  while (asking.isRunning) {
    const answer = await asking.next();
    if (answer === undefined) continue;
    answers.push(answer);
    if (turns.isFinal(answer)) break;
    asking.startNext();
  }
  return answers;
}

/** The requests of one {@link askInTurn}. */
class Asking<Member, Outcome> implements Disposable {
  readonly #members: readonly Member[];
  readonly #turns: Turns<Member, Outcome>;
  readonly #ended = new AbortController();
  readonly #running = new Map<Member, Promise<Answer<Member, Outcome>>>();
  #started = 0;
  #hedges = 0;
  #latest: Member | undefined;
  /** When any member gave a sign of life last, or the latest request began. */
  #lastSignAt = 0;

  constructor(members: readonly Member[], turns: Turns<Member, Outcome>) {
    this.#members = members;
    this.#turns = turns;
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  startNext(): void {
    if (this.#started >= this.#members.length) return;
    const by = this.#members[this.#started++] as Member;
    const { ask, clock, signal } = this.#turns;
    const sign = () => {
      this.#lastSignAt = clock.elapsed();
    };
    sign();
    this.#latest = by;
    const running = ask(by, AbortSignal.any([signal, this.#ended.signal]), sign).then((outcome) => ({
      by,
      outcome,
    }));
    // A request that is cancelled rejects, and nothing waits for it any more.
    running.catch(() => {});
    this.#running.set(by, running);
  }

  /** Resolves with the next answer, or with undefined after it has asked another member as well. */
  async next(): Promise<Answer<Member, Outcome> | undefined> {
    const first = Promise.race(this.#running.values());
    // After the time limit below, nothing waits for this promise any more.
    first.catch(() => {});
    const leftMs = this.#silenceLeftMs();
    const answer = leftMs === undefined ? await first : await withTimeout(first, leftMs, this.#turns.clock);
    if (answer !== undefined) this.#running.delete(answer.by);
    else if ((this.#silenceLeftMs() ?? 1) <= 0) this.#hedge();
    return answer;
  }

  /** Returns after how many ms the next member is to be asked; undefined if it is not, or not yet. */
  #silenceLeftMs(): number | undefined {
    const { hedge, clock } = this.#turns;
    if (hedge === undefined || this.#latest === undefined) return undefined;
    if (this.#started >= this.#members.length || hedges >= MAX_HEDGES) return undefined;
    return Math.max(0, this.#lastSignAt + hedge(this.#latest) - clock.elapsed());
  }

  #hedge(): void {
    hedges++;
    this.#hedges++;
    this.startNext();
  }

  [Symbol.dispose](): void {
    hedges -= this.#hedges;
    this.#ended.abort(new Error("another endpoint responded"));
  }
}
