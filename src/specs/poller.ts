import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type Feed, feedId } from "./feed.ts";
import { pollDelayMs } from "./poll-delay.ts";
import type { SpecStore } from "./store.ts";

interface SpecPollerOptions {
  readonly store: SpecStore;
  readonly acquirer: Pick<SpecAcquirer, "acquire">;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
  /** Polled from the start and for ever, held or not. */
  readonly preload: readonly Feed[];
}

/** What may change while it polls. */
type PollPlan = Pick<SpecPollerOptions, "intervalMs" | "preload">;

/** A feed that is polled. */
interface Loop {
  readonly ended: AbortController;
  /** Of the time until the next poll. */
  waiting: AbortController;
}

/** What the next delay of a feed depends on. */
interface Polled {
  readonly outcome: AcquireOutcome | undefined;
  readonly misses: number;
}

/**
 * Asks upstream for each held feed once per interval, each in its own loop, so that a slow one delays no other. A
 * failure changes nothing about that, see {@link pollDelayMs}.
 */
export class SpecPoller implements AsyncDisposable {
  readonly #options: SpecPollerOptions;
  readonly #loops = new Map<string, Loop>();
  #plan: PollPlan;
  #preloaded: ReadonlySet<string>;
  #isDisposed = false;

  constructor(options: SpecPollerOptions) {
    this.#options = options;
    this.#plan = options;
    this.#preloaded = new Set(options.preload.map(feedId));
    options.store.listen({
      added: ({ feed }) => this.#begin(feed, this.#delayMs(UNPOLLED)),
      removed: ({ feed }) => {
        if (!this.#preloaded.has(feedId(feed))) this.#end(feedId(feed));
      },
    });
  }

  start(): void {
    for (const feed of this.#plan.preload) this.#begin(feed, 0);
  }

  /** Takes over another plan. What waits for its next poll waits by the new interval, counted from its last. */
  follow(plan: PollPlan): void {
    const before = this.#plan;
    this.#plan = plan;
    this.#preloaded = new Set(plan.preload.map(feedId));
    this.start();
    for (const feed of before.preload) {
      const isWanted = this.#preloaded.has(feedId(feed)) || this.#options.store.peek(feed) !== undefined;
      if (!isWanted) this.#end(feedId(feed));
    }
    if (plan.intervalMs === before.intervalMs) return;
    for (const { waiting } of this.#loops.values()) waiting.abort();
  }

  #begin(feed: Feed, firstDelayMs: number): void {
    const id = feedId(feed);
    if (this.#isDisposed || this.#loops.has(id)) return;
    const loop = { ended: new AbortController(), waiting: new AbortController() };
    this.#loops.set(id, loop);
    void this.#options.supervisor.loop(
      "spec_polls",
      loop.ended.signal,
      this.#polls(feed, firstDelayMs, loop),
    );
  }

  #end(id: string): void {
    const loop = this.#loops.get(id);
    this.#loops.delete(id);
    loop?.ended.abort(new Error("the feed is no longer held"));
    loop?.waiting.abort();
  }

  /** Each call waits until the feed is due, and asks. */
  #polls(feed: Feed, firstDelayMs: number, loop: Loop): () => Promise<void> {
    let polled = UNPOLLED;
    let delayMs = firstDelayMs;
    return async () => {
      await this.#wait(loop, delayMs, () => this.#delayMs(polled));
      const outcome = await this.#options.acquirer.acquire(feed, "poll");
      loop.ended.signal.throwIfAborted();
      polled = { outcome, misses: this.#isMissing(feed, outcome) ? polled.misses + 1 : 0 };
      delayMs = this.#delayMs(polled);
    };
  }

  /** Upstream has the key, but not this feed of it: preloaded are all feeds, whichever clients may ask for. */
  #isMissing(feed: Feed, outcome: AcquireOutcome): boolean {
    const { store } = this.#options;
    return outcome.kind === "failed" && store.peek(feed) === undefined && store.holds(feed.sdkKey);
  }

  #delayMs({ outcome, misses }: Polled): number {
    if (outcome?.kind === "followed") return Math.min(outcome.againMs, this.#longestFollowingMs);
    const retryAfterMs = outcome?.kind === "failed" ? outcome.retryAfterMs : undefined;
    return pollDelayMs({ intervalMs: this.#plan.intervalMs, misses, retryAfterMs }, Math.random());
  }

  /** By an interval that has become shorter, what was learned of others must not count for longer. */
  get #longestFollowingMs(): number {
    return LONGEST_FOLLOWING * this.#plan.intervalMs;
  }

  /** Sleeps until the next poll. `again` gives the delay by a plan that changed meanwhile. */
  async #wait(loop: Loop, delayMs: number, again: () => number): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.elapsed();
    let leftMs = delayMs;
    while (!(await this.#slept(loop, leftMs))) {
      loop.ended.signal.throwIfAborted();
      const sleptMs = clock.elapsed() - startedAt;
      const newDelayMs = again();
      // All those that are late must not ask at one moment.
      leftMs = sleptMs < newDelayMs ? newDelayMs - sleptMs : newDelayMs * Math.random();
    }
  }

  /** False where it was interrupted. */
  async #slept(loop: Loop, ms: number): Promise<boolean> {
    loop.waiting = new AbortController();
    try {
      await this.#options.clock.sleep(ms, loop.waiting.signal);
      return true;
    } catch (error) {
      if (loop.waiting.signal.aborted) return false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    for (const id of [...this.#loops.keys()]) this.#end(id);
  }
}

/** In intervals; see `fleet.ts`. */
const LONGEST_FOLLOWING = 1.3;

const UNPOLLED: Polled = { outcome: undefined, misses: 0 };
