import { backoffMs, MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type Feed, feedId } from "./feed.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

interface SpecPollerOptions {
  readonly store: SpecStore;
  readonly acquirer: Pick<SpecAcquirer, "acquire">;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
  /** Feeds that are polled from the start and forever, whether or not they are held. */
  readonly preload: readonly Feed[];
  /** Whether to keep the JSON of each held protobuf feed as well, for a backup that is read by clients of JSON. */
  readonly keepsJson?: boolean;
}

/** The settings that a reload may change. */
type PollPlan = Pick<SpecPollerOptions, "intervalMs" | "preload">;

interface PollLoop {
  readonly feed: Feed;
  readonly ended: AbortController;
  /** Interrupts the wait for the next poll. */
  waiting: AbortController;
}

interface LastPoll {
  readonly outcome: AcquireOutcome | undefined;
  /** Consecutive polls that failed for a feed that upstream seems not to have. */
  readonly misses: number;
}

const NOT_POLLED: LastPoll = { outcome: undefined, misses: 0 };

/** Fraction of a delay that is random, so that feeds and relays do not poll in step. */
const JITTER = 0.1;

/** Longest wait for another relay of the fleet, in intervals; see `fleet.ts`. */
const LONGEST_FOLLOWING = 1.3;

/**
 * Polls upstream for each held feed once per interval, each in its own loop, so that a slow feed does not delay the others.
 * A feed that fails is still polled once per interval, unless `Retry-After` asks for less or upstream does not have it: that is
 * little load, and the newest version arrives one interval after upstream has recovered, whatever failed and for how long.
 */
export class SpecPoller implements AsyncDisposable {
  readonly #options: SpecPollerOptions;
  readonly #loops = new Map<string, PollLoop>();
  #plan: PollPlan;
  #preloaded: ReadonlySet<string>;
  #isDisposed = false;

  constructor(options: SpecPollerOptions) {
    this.#options = options;
    this.#plan = options;
    this.#preloaded = new Set(options.preload.map(feedId));
    options.store.listen({
      added: ({ feed }) => {
        this.#startLoop(feed, this.#delayMs(NOT_POLLED));
        if (options.keepsJson && feed.format === "proto") this.#startLoop({ ...feed, format: "json" }, 0);
      },
      removed: ({ feed }) => {
        for (const each of [feed, { ...feed, format: "json" } as const]) {
          const isWanted = this.#isPinned(each) || options.store.peek(each) !== undefined;
          if (!isWanted) this.#endLoop(feedId(each));
        }
      },
    });
  }

  /** Whether the feed is polled even if it is not held. */
  #isPinned(feed: Feed): boolean {
    return this.#preloaded.has(feedId(feed)) || this.#findProto(feed) !== undefined;
  }

  /** Returns the held protobuf feed for whose sake this JSON feed is kept. */
  #findProto(feed: Feed): HeldFeed | undefined {
    const { keepsJson = false, store } = this.#options;
    return keepsJson && feed.format === "json" ? store.peek({ ...feed, format: "proto" }) : undefined;
  }

  /**
   * Returns whether a JSON feed need not be polled: no client has asked for it, and upstream has no newer version than it has,
   * because the protobuf feed is polled as often and has none, nor has its content changed since. What confirms that one then
   * confirms this one.
   */
  #followsProto(feed: Feed): boolean {
    const held = this.#options.store.peek(feed);
    const proto = this.#preloaded.has(feedId(feed)) ? undefined : this.#findProto(feed);
    if (held === undefined || proto === undefined || held.wasUsed) return false;
    const isNewest = held.snapshot.lcut >= proto.snapshot.lcut && !held.isRevoked && !proto.isRevoked;
    // Upstream may have changed the content of the lcut since.
    const isCurrent = isNewest && (held.confirmedAt ?? Number.POSITIVE_INFINITY) >= proto.snapshot.receivedAt;
    if (isCurrent && held.snapshot.lcut === proto.snapshot.lcut) {
      this.#options.store.confirm(feed, proto.confirmed);
    }
    return isCurrent;
  }

  /** Returns the feeds that are polled: those that are held, and those that are polled in any case. */
  *polled(): Iterable<Feed> {
    for (const { feed } of this.#loops.values()) yield feed;
  }

  start(): void {
    for (const feed of this.#plan.preload) this.#startLoop(feed, 0);
  }

  /** Applies another plan. A new interval applies at once, counted from the last poll of each feed. */
  reconfigure(plan: PollPlan): void {
    const before = this.#plan;
    this.#plan = plan;
    this.#preloaded = new Set(plan.preload.map(feedId));
    this.start();
    for (const feed of before.preload) {
      const isWanted = this.#isPinned(feed) || this.#options.store.peek(feed) !== undefined;
      if (!isWanted) this.#endLoop(feedId(feed));
    }
    if (plan.intervalMs === before.intervalMs) return;
    for (const { waiting } of this.#loops.values()) waiting.abort();
  }

  #startLoop(feed: Feed, firstDelayMs: number): void {
    const id = feedId(feed);
    if (this.#isDisposed || this.#loops.has(id)) return;
    const loop = { feed, ended: new AbortController(), waiting: new AbortController() };
    this.#loops.set(id, loop);
    const round = this.#createRound(feed, firstDelayMs, loop);
    void this.#options.supervisor.loop("spec_polls", loop.ended.signal, round);
  }

  #endLoop(id: string): void {
    const loop = this.#loops.get(id);
    this.#loops.delete(id);
    loop?.ended.abort(new Error("the feed is no longer held"));
    loop?.waiting.abort();
  }

  /** Returns a function that waits until the feed is due and polls it. */
  #createRound(feed: Feed, firstDelayMs: number, loop: PollLoop): () => Promise<void> {
    let last = NOT_POLLED;
    let delayMs = firstDelayMs;
    return async () => {
      await this.#wait(loop, delayMs, () => this.#delayMs(last));
      if (this.#followsProto(feed)) {
        [last, delayMs] = [NOT_POLLED, this.#delayMs(NOT_POLLED)];
        return;
      }
      const outcome = await this.#options.acquirer.acquire(feed, "poll");
      loop.ended.signal.throwIfAborted();
      last = { outcome, misses: this.#isMissing(feed, outcome) ? last.misses + 1 : 0 };
      delayMs = this.#delayMs(last);
    };
  }

  /** Upstream has the key, but seems not to have this feed: v1 and v2 of a key are preloaded, even if it has only one. */
  #isMissing(feed: Feed, outcome: AcquireOutcome): boolean {
    const { store } = this.#options;
    return outcome.kind === "failed" && store.peek(feed) === undefined && store.holds(feed.sdkKey);
  }

  /** Returns the ms from one poll to the next: the interval, but at least Retry-After. Doubles for a missing feed. */
  #delayMs({ outcome, misses }: LastPoll): number {
    const { intervalMs } = this.#plan;
    // After a reload with a shorter interval, what other relays found must not count for longer.
    if (outcome?.kind === "followed") return Math.min(outcome.againMs, LONGEST_FOLLOWING * intervalMs);
    const maxMs = Math.max(MAX_RETRY_DELAY_MS, intervalMs);
    const delayMs = backoffMs({ attempt: misses, firstMs: intervalMs, maxMs, jitter: JITTER });
    const retryAfterMs = outcome?.kind === "failed" ? outcome.retryAfterMs : undefined;
    if (retryAfterMs === undefined) return delayMs;
    // Upstream may send the same Retry-After date for all feeds to all relays.
    const spreadMs = JITTER * Math.min(intervalMs, retryAfterMs) * Math.random();
    return Math.max(delayMs, Math.min(retryAfterMs, maxMs) + spreadMs);
  }

  /** Sleeps until the next poll. If the plan changes meanwhile, `newDelay` returns the delay by the new plan. */
  async #wait(loop: PollLoop, delayMs: number, newDelay: () => number): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.elapsed();
    let leftMs = delayMs;
    while (!(await this.#sleep(loop, leftMs))) {
      loop.ended.signal.throwIfAborted();
      const sleptMs = clock.elapsed() - startedAt;
      const newDelayMs = newDelay();
      // Feeds that are overdue by the new interval must not all poll at the same time.
      leftMs = sleptMs < newDelayMs ? newDelayMs - sleptMs : newDelayMs * Math.random();
    }
  }

  /** Returns false if the wait was interrupted. */
  async #sleep(loop: PollLoop, ms: number): Promise<boolean> {
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
    for (const id of [...this.#loops.keys()]) this.#endLoop(id);
  }
}
