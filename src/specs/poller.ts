import type { Clock } from "../clock.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type Feed, feedId } from "./feed.ts";
import { pollDelayMs } from "./poll-delay.ts";
import type { SpecStore } from "./spec-store.ts";

export interface SpecPollerOptions {
  readonly store: SpecStore;
  readonly acquirer: Pick<SpecAcquirer, "acquire">;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
  /** Polled from the start and for ever, held or not. */
  readonly preload: readonly Feed[];
}

/** What may change while it polls. */
export type PollPlan = Pick<SpecPollerOptions, "intervalMs" | "preload">;

/** A feed that is polled. */
interface Loop {
  readonly ended: AbortController;
  /** Of the time until the next poll. */
  waiting: AbortController;
  /** What ends its wait at once: the scout gets through, or a client's first request did. */
  mayBeWoken: boolean;
}

/** Why a wait is over before its time; else the loop is at its end. */
const WOKEN = new Error("upstream can be reached again");
const PLAN_CHANGED = new Error("another interval");

/**
 * Asks upstream for each held feed once per interval, each in its own loop, so that a slow one delays no
 * other. While upstream can't be reached at all, loops back off but for one, the scout: it goes on at every
 * interval, and when it gets through, all others ask at once.
 */
export class SpecPoller implements AsyncDisposable {
  readonly #options: SpecPollerOptions;
  readonly #loops = new Map<string, Loop>();
  #plan: PollPlan;
  #preloaded: ReadonlySet<string>;
  #scout: string | undefined;
  #isDisposed = false;

  constructor(options: SpecPollerOptions) {
    this.#options = options;
    this.#plan = options;
    this.#preloaded = new Set(options.preload.map(feedId));
    options.store.listen({
      added: ({ feed }) => {
        this.#wake(feedId(feed));
        this.#begin(feed, this.#delayMs(feedId(feed), 0));
      },
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
    for (const { waiting } of this.#loops.values()) waiting.abort(PLAN_CHANGED);
  }

  #begin(feed: Feed, firstDelayMs: number): void {
    const id = feedId(feed);
    if (this.#isDisposed || this.#loops.has(id)) return;
    const loop = { ended: new AbortController(), waiting: new AbortController(), mayBeWoken: false };
    this.#loops.set(id, loop);
    void this.#options.supervisor.loop(
      "spec_polls",
      loop.ended.signal,
      this.#polls(feed, firstDelayMs, loop),
    );
  }

  #end(id: string): void {
    if (this.#scout === id) this.#retireScout();
    const loop = this.#loops.get(id);
    this.#loops.delete(id);
    loop?.ended.abort(new Error("the feed is no longer held"));
    loop?.waiting.abort();
  }

  /** Each call waits until the feed is due, and asks. */
  #polls(feed: Feed, firstDelayMs: number, loop: Loop): () => Promise<void> {
    const id = feedId(feed);
    let failures = 0;
    let outcome: AcquireOutcome | undefined;
    let delayMs = firstDelayMs;
    return async () => {
      await this.#wait(loop, delayMs, () => this.#delayMs(id, failures, outcome));
      outcome = await this.#options.acquirer.acquire(feed, "poll");
      loop.ended.signal.throwIfAborted();
      failures = failuresAfter(outcome, failures);
      this.#chooseScout(id, outcome);
      delayMs = this.#delayMs(id, failures, outcome);
      loop.mayBeWoken = failures > 1 && !(outcome.kind === "failed" && outcome.retryAfterMs !== undefined);
    };
  }

  #delayMs(id: string, failures: number, outcome?: AcquireOutcome): number {
    const { intervalMs } = this.#plan;
    if (outcome?.kind === "confirmed") return Math.min(intervalMs, outcome.ttlMs);
    const retryAfterMs = outcome?.kind === "failed" ? outcome.retryAfterMs : undefined;
    return pollDelayMs({ intervalMs, failures, retryAfterMs, isScout: this.#scout === id }, Math.random());
  }

  #chooseScout(id: string, outcome: AcquireOutcome): void {
    // The backup was faster: of upstream nothing is known yet.
    if (outcome.kind === "recovered") return;
    const unreachable = outcome.kind === "failed" && outcome.unreachable;
    if (unreachable) {
      this.#scout ??= id;
    } else if (this.#scout === id) {
      this.#retireScout();
    }
  }

  /** Who asks next becomes the scout, where upstream still can't be reached. */
  #retireScout(): void {
    this.#scout = undefined;
    for (const id of this.#loops.keys()) this.#wake(id);
  }

  #wake(id: string): void {
    const loop = this.#loops.get(id);
    if (loop?.mayBeWoken) loop.waiting.abort(WOKEN);
  }

  /** Sleeps until the next poll. `again` gives the delay by a plan that changed meanwhile. */
  async #wait(loop: Loop, delayMs: number, again: () => number): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.elapsed();
    let leftMs = delayMs;
    while (!(await this.#slept(loop, leftMs))) {
      const { ended, waiting } = loop;
      ended.signal.throwIfAborted();
      if (waiting.signal.reason !== PLAN_CHANGED) return;
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

function failuresAfter(outcome: AcquireOutcome, failures: number): number {
  switch (outcome.kind) {
    case "fresh":
    case "confirmed":
      return 0;
    case "recovered":
      return failures;
    case "failed":
    case "unauthorized":
    case "full":
      return failures + 1;
  }
}
