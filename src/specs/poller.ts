import type { Clock } from "../clock.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type Feed, feedId } from "./feed.ts";
import { pollDelayMs } from "./poll-delay.ts";
import type { SpecStore } from "./spec-store.ts";

export interface SpecPollerOptions {
  readonly store: SpecStore;
  readonly acquirer: Pick<SpecAcquirer, "acquire">;
  readonly clock: Clock;
  readonly intervalMs: number;
  /** Polled from the start and for ever, held or not. */
  readonly preload: readonly Feed[];
}

/**
 * Asks upstream for each held feed once per interval, each in its own loop, so that a slow one delays no
 * other. While upstream can't be reached at all, loops back off but for one, the scout: it goes on at every
 * interval, and when it gets through, all others ask at once.
 */
export class SpecPoller implements AsyncDisposable {
  readonly #options: SpecPollerOptions;
  readonly #loops = new Map<string, AbortController>();
  readonly #backingOff = new Map<string, AbortController>();
  #scout: string | undefined;
  #isDisposed = false;

  constructor(options: SpecPollerOptions) {
    this.#options = options;
    const preloaded = new Set(options.preload.map(feedId));
    options.store.listen({
      added: ({ feed }) => {
        this.#backingOff.get(feedId(feed))?.abort();
        this.#begin(feed, this.#delayMs(feedId(feed), 0));
      },
      removed: ({ feed }) => {
        if (!preloaded.has(feedId(feed))) this.#end(feedId(feed));
      },
    });
  }

  start(): void {
    for (const feed of this.#options.preload) this.#begin(feed, 0);
  }

  #begin(feed: Feed, firstDelayMs: number): void {
    const id = feedId(feed);
    if (this.#isDisposed || this.#loops.has(id)) return;
    const loop = new AbortController();
    this.#loops.set(id, loop);
    void this.#poll(feed, firstDelayMs, loop.signal).catch((error: unknown) => {
      if (!loop.signal.aborted) throw error;
    });
  }

  #end(id: string): void {
    if (this.#scout === id) this.#retireScout();
    this.#loops.get(id)?.abort(new Error("the feed is no longer held"));
    this.#loops.delete(id);
  }

  async #poll(feed: Feed, firstDelayMs: number, ended: AbortSignal): Promise<void> {
    const id = feedId(feed);
    let delayMs = firstDelayMs;
    let failures = 0;
    let mayBeWoken = false;
    for (;;) {
      await (mayBeWoken ? this.#backOff(id, delayMs, ended) : this.#options.clock.sleep(delayMs, ended));
      const outcome = await this.#options.acquirer.acquire(feed, "poll");
      ended.throwIfAborted();
      failures = failuresAfter(outcome, failures);
      this.#chooseScout(id, outcome);
      delayMs = this.#delayMs(id, failures, outcome);
      mayBeWoken = failures > 1 && !(outcome.kind === "failed" && outcome.retryAfterMs !== undefined);
    }
  }

  #delayMs(id: string, failures: number, outcome?: AcquireOutcome): number {
    const { intervalMs } = this.#options;
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
    for (const waiting of [...this.#backingOff.values()]) waiting.abort();
  }

  /** Sleeps, but only until the scout gets through, or a client's first request did. */
  async #backOff(id: string, delayMs: number, ended: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#backingOff.set(id, woken);
    try {
      await this.#options.clock.sleep(delayMs, AbortSignal.any([woken.signal, ended]));
    } catch (error) {
      if (!woken.signal.aborted) throw error;
    } finally {
      this.#backingOff.delete(id);
    }
    ended.throwIfAborted();
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
