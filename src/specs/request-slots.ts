import { LRUCache } from "lru-cache";
import type { Clock } from "../platform/clock.ts";
import { Spacing } from "../platform/spacing.ts";

/** Cache misses take precedence over polls, because clients wait for them. */
export type RefreshPriority = "cache_miss" | "poll";

/** A request without progress for this long is stalled: it no longer counts towards `max`. */
const STALLED_AFTER_MS = 1_000;

/** Bun allows 256 requests in flight per process; log events and ID lists need some of them. */
const MAX_OPEN_REQUESTS = 192;

/** Limit of feeds that are remembered as suspects; beyond it, the least recently used is forgotten. */
const MAX_SUSPECTS = 20_000;

interface RequestSlotsOptions {
  readonly clock: Clock;
  /** Limit of requests in flight that make progress. The same number may be stalled. */
  readonly max: number;
  /** Minimum time between the starts of two polls; none by default. Cache misses do not wait for it. */
  readonly spacing?: Spacing | undefined;
}

/** Suspects are feeds whose last request was stalled when it ended. They wait in a queue of their own. */
type QueueName = RefreshPriority | "suspect";

const QUEUES = ["cache_miss", "poll", "suspect"] as const;

interface Waiting {
  readonly since: number;
  readonly priority: RefreshPriority;
  readonly enter: (slot: RequestSlot) => void;
}

const NEVER = new AbortController().signal;

/** Counts of requests in flight from one queue: those that make progress, and all. */
interface InFlight {
  live: number;
  open: number;
}

/**
 * Decides which request to upstream may start. At most `max` of them make progress at the same time. A request that gets no
 * byte from upstream for a second gives up its slot, so that stalled feeds do not delay others. It stays open; at most twice
 * `max` requests are open. A feed whose last request stalled until it ended only gets slots of stalled requests. Cache misses and
 * polls leave a quarter of the slots to each other.
 */
export class RequestSlots {
  readonly #clock: Clock;
  readonly #spacing: Spacing;
  readonly #max: number;
  readonly #maxOpen: number;
  readonly #maxStalled: number;
  /** Slots that cache misses leave to polls, and polls to cache misses. */
  readonly #reserve: number;
  readonly #openReserve: number;
  readonly #waiting: Record<QueueName, Map<string, Waiting>>;
  readonly #inFlight: Record<QueueName, InFlight>;
  #willAdmit = false;
  readonly #suspects = new LRUCache<string, true>({ max: MAX_SUSPECTS });

  constructor({ clock, max, spacing = new Spacing(clock, () => 0) }: RequestSlotsOptions) {
    this.#clock = clock;
    this.#spacing = spacing;
    this.#max = Math.min(max, MAX_OPEN_REQUESTS);
    this.#maxOpen = Math.min(2 * max, MAX_OPEN_REQUESTS);
    this.#maxStalled = Math.max(1, Math.floor(this.#maxOpen / 2));
    this.#reserve = Math.floor(this.#max / 4);
    // At least one even if there are few slots: stalled requests of one queue must not block the other.
    this.#openReserve = this.#max > 1 ? Math.max(1, this.#reserve) : 0;
    this.#waiting = { cache_miss: new Map(), poll: new Map(), suspect: new Map() };
    this.#inFlight = {
      cache_miss: { live: 0, open: 0 },
      poll: { live: 0, open: 0 },
      suspect: { live: 0, open: 0 },
    };
  }

  /** Number of requests that wait for a slot. */
  get waiting(): number {
    return QUEUES.reduce((sum, queue) => sum + this.#waiting[queue].size, 0);
  }

  /** Resolves when the request may start. Dispose of the slot to free it. Call it once at a time for each `id`. */
  take(id: string, priority: RefreshPriority): Promise<RequestSlot> {
    const queue = this.#suspects.has(id) ? "suspect" : priority;
    const { promise, resolve } = Promise.withResolvers<RequestSlot>();
    this.#waiting[queue].set(id, { since: this.#clock.elapsed(), priority, enter: resolve });
    this.#admit();
    return promise;
  }

  /** Makes a waiting poll a cache miss, because a client waits for the feed now. A suspect stays in its queue. */
  prioritize(id: string): void {
    const suspect = this.#waiting.suspect.get(id);
    if (suspect !== undefined) this.#waiting.suspect.set(id, { ...suspect, priority: "cache_miss" });
    const waiting = this.#waiting.poll.get(id);
    if (waiting !== undefined) {
      this.#waiting.poll.delete(id);
      this.#waiting.cache_miss.set(id, { ...waiting, priority: "cache_miss" });
    }
    this.#admit();
  }

  #admit(): void {
    for (const queue of QUEUES) {
      for (const [id, waiting] of this.#waiting[queue]) {
        if (!this.#hasRoom(queue)) break;
        // Only among suspects may a cache miss wait behind a poll.
        if (waiting.priority === "poll" && !this.#mayPoll()) {
          if (queue === "suspect") continue;
          break;
        }
        this.#waiting[queue].delete(id);
        waiting.enter(this.#open(id, queue, this.#clock.elapsed() - waiting.since));
      }
    }
  }

  /** Counts as the start of a poll if that may start now. Otherwise admits it later. */
  #mayPoll(): boolean {
    const { waitMs } = this.#spacing;
    if (waitMs === 0) this.#spacing.started();
    else this.#admitLater(waitMs);
    return waitMs === 0;
  }

  #admitLater(ms: number): void {
    if (this.#willAdmit) return;
    this.#willAdmit = true;
    // Never aborted: a timer of at most one spacing, without effect when nothing waits.
    void this.#clock.sleep(ms, NEVER).then(() => {
      this.#willAdmit = false;
      this.#admit();
    });
  }

  #hasRoom(queue: QueueName): boolean {
    const { live, open } = this.#inFlight[queue];
    const all = QUEUES.reduce(
      (sum, each) => ({
        live: sum.live + this.#inFlight[each].live,
        open: sum.open + this.#inFlight[each].open,
      }),
      { live: 0, open: 0 },
    );
    if (all.open >= this.#maxOpen) return false;
    if (queue === "suspect") return all.open - all.live < this.#maxStalled;
    if (all.live >= this.#max || live >= this.#max - this.#reserve) return false;
    return open < this.#maxOpen - this.#openReserve;
  }

  #open(id: string, queue: QueueName, waitedMs: number): RequestSlot {
    const counts = this.#inFlight[queue];
    counts.open++;
    return new RequestSlot({
      clock: this.#clock,
      waitedMs,
      isSuspect: queue === "suspect",
      count: (live) => {
        counts.live += live;
        if (live < 0) this.#admit();
      },
      ended: (wasStalled) => {
        if (wasStalled) this.#suspects.set(id, true);
        else this.#suspects.delete(id);
      },
      free: () => {
        counts.open--;
        this.#admit();
      },
    });
  }
}

interface SlotOptions {
  readonly clock: Clock;
  readonly waitedMs: number;
  readonly isSuspect: boolean;
  /** Changes the number of requests that make progress. */
  readonly count: (live: 1 | -1) => void;
  readonly ended: (wasStalled: boolean) => void;
  readonly free: () => void;
}

/** The right to one request to upstream. */
export class RequestSlot implements Disposable {
  readonly #options: SlotOptions;
  #isLive = false;
  #lastProgressAt: number;
  #request: AbortController | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.#lastProgressAt = options.clock.elapsed();
    // A suspect counts as stalled until upstream responds.
    if (!options.isSuspect) this.#become(true);
  }

  get waitedMs(): number {
    return this.#options.waitedMs;
  }

  get isSuspect(): boolean {
    return this.#options.isSuspect;
  }

  /** Runs the request, which calls `progressed` for each sign of life. Time spent on the response later is not silence. */
  async watch<T>(request: (progressed: () => void) => Promise<T>): Promise<T> {
    const { clock, ended } = this.#options;
    const watching = new AbortController();
    this.#request = watching;
    this.#lastProgressAt = clock.elapsed();
    if (this.#isLive) void this.#watchSilence(watching.signal);
    try {
      return await request(() => this.#progressed(watching.signal));
    } finally {
      watching.abort();
      ended(clock.elapsed() - this.#lastProgressAt >= STALLED_AFTER_MS);
    }
  }

  #progressed(signal: AbortSignal): void {
    this.#lastProgressAt = this.#options.clock.elapsed();
    if (this.#isLive || signal.aborted) return;
    this.#become(true);
    void this.#watchSilence(signal);
  }

  async #watchSilence(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      for (let leftMs = STALLED_AFTER_MS; leftMs > 0; ) {
        await clock.sleep(leftMs, signal);
        leftMs = this.#lastProgressAt + STALLED_AFTER_MS - clock.elapsed();
      }
    } catch {
      // Aborted: the request has ended.
      return;
    }
    this.#become(false);
  }

  #become(isLive: boolean): void {
    if (this.#isLive === isLive) return;
    this.#isLive = isLive;
    this.#options.count(isLive ? 1 : -1);
  }

  [Symbol.dispose](): void {
    this.#request?.abort();
    this.#become(false);
    this.#options.free();
  }
}
