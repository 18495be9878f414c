import { Changes } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { SharedCount } from "../platform/shared-count.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import { StatusError } from "../streams/status-error.ts";

interface HealthWatchOptions {
  /** Whether the relay is ready and has room for streams. Rejects if that cannot be found out. */
  readonly check: () => Promise<boolean>;
  /** Counts the open watches of all ports and threads. */
  readonly open: SharedCount;
  readonly clock: Clock;
  readonly emit: EmitLimitEvent;
}

/** The most open watches. Each costs 35 KB, and clients of config specs open none. */
export const MAX_HEALTH_WATCHES = 1_000;

/** How often the health is checked while anyone watches it. One check serves all watches of a thread. */
const CHECK_EVERY_MS = 1_000;

/** The health of the relay as one thread answers it: at once, or each change of it. */
export class HealthWatch {
  readonly #options: HealthWatchOptions;
  readonly #watches = new Set<Changes>();
  #isStopping = false;
  /** The result of the last check; undefined if there was none since the first watch began. */
  #isServing: boolean | undefined;
  #checking: AbortController | undefined;

  constructor(options: HealthWatchOptions) {
    this.#options = options;
  }

  /** Rejects if it cannot be found out. */
  async isServing(): Promise<boolean> {
    return !this.#isStopping && (await this.#options.check()) && !this.#isStopping;
  }

  /** From now on the relay is not serving, and watches yield that before they end. */
  stopping(): void {
    this.#isStopping = true;
    this.#publish(false);
  }

  /**
   * Yields whether the relay is serving, and each change. A slow client gets the latest state next. Rejects with the signal's reason
   * when it is aborted, after a state that was not yielded yet, and with RESOURCE_EXHAUSTED if there are too many watches.
   */
  async *watch(signal: AbortSignal): AsyncGenerator<boolean, never, undefined> {
    const changes = new Changes();
    const leave = this.#enter(changes);
    // A generator that is never resumed never reaches its finally: a client can reset a stream without reading it.
    const abort = () => {
      leave();
      changes.wake();
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    try {
      for (let yielded: boolean | undefined; ; ) {
        if (this.#isServing !== undefined && this.#isServing !== yielded) {
          yielded = this.#isServing;
          yield yielded;
        } else {
          signal.throwIfAborted();
          await changes.next();
        }
      }
    } finally {
      signal.removeEventListener("abort", abort);
      leave();
    }
  }

  #enter(changes: Changes): () => void {
    const { open, emit } = this.#options;
    if (!open.tryAdd(1, MAX_HEALTH_WATCHES)) {
      emit({ kind: "limit_reached", limit: "health-watches" });
      throw new StatusError("resource_exhausted", "Too many health watches");
    }
    this.#watches.add(changes);
    if (this.#checking === undefined) void this.#checkWhileWatched();
    return () => {
      if (!this.#watches.delete(changes)) return;
      open.subtract(1);
      if (this.#watches.size === 0) this.#stopChecking();
    };
  }

  #stopChecking(): void {
    this.#checking?.abort();
    this.#checking = undefined;
    this.#isServing = this.#isStopping ? false : undefined;
  }

  async #checkWhileWatched(): Promise<void> {
    const checking = new AbortController();
    this.#checking = checking;
    while (!checking.signal.aborted) {
      // What cannot be found out is not known to serve: Check fails then.
      const isServing = await this.isServing().catch(() => false);
      if (checking.signal.aborted) return;
      this.#publish(isServing);
      await this.#options.clock.sleep(CHECK_EVERY_MS, checking.signal).catch(() => {});
    }
  }

  #publish(isServing: boolean): void {
    if (this.#isServing === isServing) return;
    this.#isServing = isServing;
    for (const changes of this.#watches) changes.wake();
  }
}
