import { LRUCache } from "lru-cache";
import type { Clock } from "../platform/clock.ts";
import type { EmitSpecEvent } from "./events.ts";

/** A cache miss goes before polls: a client waits for it. */
export type RefreshPriority = "cache_miss" | "poll";

/** A request that made no progress for so long is silent: it no longer counts towards `max`. */
const SILENT_AFTER_MS = 1_000;

/** Bun has at most 256 requests in flight, all of the process together; events and ID lists need some of them. */
const MAX_OPEN_REQUESTS = 192;

/** Feeds of which it is remembered that their last request was silent to its end. */
const MAX_SUSPECTS = 20_000;

interface RequestSlotsOptions {
  readonly clock: Clock;
  /** Requests in flight that make progress. As many again may be silent. */
  readonly max: number;
}

/** Suspects are feeds whose last request was silent to its end: they wait in a line of their own. */
type Line = RefreshPriority | "suspect";

const LINES = ["cache_miss", "poll", "suspect"] as const;

interface Waiting {
  readonly askedAt: number;
  readonly enter: (slot: RequestSlot) => void;
}

/** Requests in flight of one line: those that make progress, and all. */
interface InFlight {
  live: number;
  open: number;
}

/**
 * Decides which request to upstream may begin. At most `max` of them make progress at a time. One that upstream leaves
 * without a byte for a second gives up its place, so that feeds that hang delay no other; it stays open, and open
 * ones are twice as many at most. A feed that hung to the end of its last request takes part only in what is left to
 * silent ones. Cache misses and polls keep a quarter of the places free for each other.
 */
export class RequestSlots {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #maxOpen: number;
  readonly #maxSilent: number;
  /** Places that neither cache misses nor polls take from each other. */
  readonly #reserve: number;
  readonly #openReserve: number;
  readonly #waiting: Record<Line, Map<string, Waiting>>;
  readonly #inFlight: Record<Line, InFlight>;
  readonly #suspects = new LRUCache<string, true>({ max: MAX_SUSPECTS });

  constructor({ clock, max }: RequestSlotsOptions) {
    this.#clock = clock;
    this.#max = Math.min(max, MAX_OPEN_REQUESTS);
    this.#maxOpen = Math.min(2 * max, MAX_OPEN_REQUESTS);
    this.#maxSilent = Math.max(1, Math.floor(this.#maxOpen / 2));
    this.#reserve = Math.floor(this.#max / 4);
    // Where there are few places: what hangs in one line is not to hold up the other.
    this.#openReserve = this.#max > 1 ? Math.max(1, this.#reserve) : 0;
    this.#waiting = { cache_miss: new Map(), poll: new Map(), suspect: new Map() };
    this.#inFlight = {
      cache_miss: { live: 0, open: 0 },
      poll: { live: 0, open: 0 },
      suspect: { live: 0, open: 0 },
    };
  }

  /** How many wait for a slot. */
  get waiting(): number {
    return LINES.reduce((sum, line) => sum + this.#waiting[line].size, 0);
  }

  /** Resolves when the request may begin; its slot is free again when it is disposed. One at a time for each `id`. */
  take(id: string, priority: RefreshPriority): Promise<RequestSlot> {
    const line = this.#suspects.has(id) ? "suspect" : priority;
    const { promise, resolve } = Promise.withResolvers<RequestSlot>();
    this.#waiting[line].set(id, { askedAt: this.#clock.elapsed(), enter: resolve });
    this.#admit();
    return promise;
  }

  /** A client wants it now: from the polls that wait, it goes to the cache misses. */
  hurry(id: string): void {
    const waiting = this.#waiting.poll.get(id);
    if (waiting === undefined) return;
    this.#waiting.poll.delete(id);
    this.#waiting.cache_miss.set(id, waiting);
    this.#admit();
  }

  #admit(): void {
    for (const line of LINES) {
      for (const [id, waiting] of this.#waiting[line]) {
        if (!this.#hasRoom(line)) break;
        this.#waiting[line].delete(id);
        waiting.enter(this.#open(id, line, this.#clock.elapsed() - waiting.askedAt));
      }
    }
  }

  #hasRoom(line: Line): boolean {
    const { live, open } = this.#inFlight[line];
    const all = LINES.reduce(
      (sum, each) => ({
        live: sum.live + this.#inFlight[each].live,
        open: sum.open + this.#inFlight[each].open,
      }),
      { live: 0, open: 0 },
    );
    if (all.open >= this.#maxOpen) return false;
    if (line === "suspect") return all.open - all.live < this.#maxSilent;
    if (all.live >= this.#max || live >= this.#max - this.#reserve) return false;
    return open < this.#maxOpen - this.#openReserve;
  }

  #open(id: string, line: Line, waitedMs: number): RequestSlot {
    const counts = this.#inFlight[line];
    counts.open++;
    return new RequestSlot({
      clock: this.#clock,
      waitedMs,
      isSuspect: line === "suspect",
      count: (live) => {
        counts.live += live;
        if (live < 0) this.#admit();
      },
      ended: (wasSilent) => {
        if (wasSilent) this.#suspects.set(id, true);
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
  /** Adds to the requests that make progress. */
  readonly count: (live: 1 | -1) => void;
  readonly ended: (wasSilent: boolean) => void;
  readonly free: () => void;
}

/** The right to one request to upstream. */
export class RequestSlot implements Disposable {
  readonly #options: SlotOptions;
  #isLive = false;
  #heardAt: number;
  #request: AbortController | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.#heardAt = options.clock.elapsed();
    // Nothing is expected of a suspect.
    if (!options.isSuspect) this.#become(true);
  }

  get waitedMs(): number {
    return this.#options.waitedMs;
  }

  get isSuspect(): boolean {
    return this.#options.isSuspect;
  }

  /** Watches a request, which calls `progressed` when anything comes of it. What is done with it later is no silence. */
  async watch<T>(request: (progressed: () => void) => Promise<T>): Promise<T> {
    const { clock, ended } = this.#options;
    const watching = new AbortController();
    this.#request = watching;
    this.#heardAt = clock.elapsed();
    if (this.#isLive) void this.#watchSilence(watching.signal);
    try {
      return await request(() => this.#heard(watching.signal));
    } finally {
      watching.abort();
      ended(clock.elapsed() - this.#heardAt >= SILENT_AFTER_MS);
    }
  }

  #heard(signal: AbortSignal): void {
    this.#heardAt = this.#options.clock.elapsed();
    if (this.#isLive || signal.aborted) return;
    this.#become(true);
    void this.#watchSilence(signal);
  }

  async #watchSilence(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      for (let leftMs = SILENT_AFTER_MS; leftMs > 0; ) {
        await clock.sleep(leftMs, signal);
        leftMs = this.#heardAt + SILENT_AFTER_MS - clock.elapsed();
      }
    } catch {
      // The request has ended.
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

/** For how many intervals polls must go on being late: a burst at the start is no lasting lack of places. */
const LASTS_INTERVALS = 3;

interface PollWaitsOptions {
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly intervalMs: () => number;
}

interface Late {
  readonly sinceMs: number;
  lastMs: number;
  isReported: boolean;
}

/** Notices when polls regularly wait longer for their turn than the polling interval: more is due than `-u` lets through. */
export class PollWaits {
  readonly #options: PollWaitsOptions;
  #late: Late | undefined;

  constructor(options: PollWaitsOptions) {
    this.#options = options;
  }

  /** A poll begins that was due so long ago. */
  began(waitedMs: number): void {
    const { clock, emit } = this.#options;
    const intervalMs = this.#options.intervalMs();
    emit({ kind: "spec_poll_began", waitedMs });
    const now = clock.elapsed();
    if (waitedMs > intervalMs) this.#wasLate(now, waitedMs, intervalMs);
    else if (this.#late !== undefined && now - this.#late.lastMs > intervalMs) this.#end();
  }

  #wasLate(now: number, waitedMs: number, intervalMs: number): void {
    const dueAt = now - waitedMs;
    // No poll was late for a while before this one became due: what was late then is another matter.
    if (this.#late !== undefined && dueAt - this.#late.lastMs > LASTS_INTERVALS * intervalMs) this.#end();
    this.#late ??= { sinceMs: now, lastMs: now, isReported: false };
    this.#late.lastMs = now;
    if (now - this.#late.sinceMs < LASTS_INTERVALS * intervalMs) return;
    this.#late.isReported = true;
    this.#options.emit({ kind: "spec_polls_delayed", waitedMs, intervalMs });
  }

  #end(): void {
    if (this.#late?.isReported) this.#options.emit({ kind: "spec_polls_on_time" });
    this.#late = undefined;
  }
}
