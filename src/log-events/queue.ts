import type { SdkKey } from "../access/sdk-key.ts";
import type { ChunkLimits, EventChunk } from "./chunk.ts";

/** What the events of one request to upstream have in common. */
export interface EventGroup {
  readonly sdkKey: SdkKey;
  /** The JSON text of `statsigMetadata` as the SDK sent it; empty if it sent none. */
  readonly metadata: string;
  /** The headers to forward, by lower-case name: they describe the SDK and the relays that the events came through. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The events of one request of a client. */
export interface EventBatch {
  readonly group: EventGroup;
  /** At least one. */
  readonly chunks: readonly EventChunk[];
  /** In ms since the Unix epoch. */
  readonly queuedAt: number;
}

/** Chunks of one group, in the order in which they were put, that fit into one request to upstream. */
export interface ClaimedEvents {
  /** Identifies the claim; only the queue uses it. */
  readonly token: number;
  readonly group: EventGroup;
  readonly chunks: readonly EventChunk[];
  /** When the oldest of them was put, in ms since the Unix epoch. */
  readonly queuedAt: number;
}

export interface ClaimLimits extends ChunkLimits {
  /** A group is due if its oldest chunk was put before this time (ms since the Unix epoch), or if it fills a request. */
  readonly dueBefore: number;
}

/** Counts of events that were not sent before the relay stopped. */
export interface EventsLeft {
  /** They are on disk; the next relay that starts sends them. */
  readonly kept: number;
  readonly lost: number;
}

export interface QueueDepth {
  /** Counts chunks: a batch with more events than fit into one request counts more than once. */
  readonly batches: number;
  readonly events: number;
  readonly bytes: number;
}

/** Holds events from the client's request until upstream accepted them. A method that rejects may be retried; no event is lost. */
export interface EventQueue extends AsyncDisposable {
  /** Resolves with "queued" once every event is stored as safely as the queue can, or with "full" if it stored none. */
  put(batch: EventBatch): Promise<"queued" | "full">;

  /**
   * Claims the oldest chunks of the group that is due and has waited longest: as many as fit the limits, at least one. A group
   * with a claim cannot be claimed again until that is settled, so that its events stay in order. Resolves with
   * undefined if no group is due.
   */
  take(limits: ClaimLimits): Promise<ClaimedEvents | undefined>;

  /**
   * Acknowledges claimed events, which upstream has accepted or will never accept: deletes all of them, or the first `count` of
   * the claim.
   */
  remove(taken: ClaimedEvents, count?: number): Promise<void>;

  /** Deletes the claimed events and all others of their group. Returns how many events it deleted. */
  drop(taken: ClaimedEvents): Promise<number>;

  /** Returns claimed events to the front of their group. */
  release(taken: ClaimedEvents): Promise<void>;

  /** Includes claimed events. */
  readonly depth: QueueDepth;

  /** From 0 (empty) to 1, where the next batch is rejected or evicts the oldest ones, depending on the queue. */
  readonly filled: number;

  /**
   * Returns when the next group is due (ms since the Unix epoch) if a batch may wait for `maxWaitMs`. Returns undefined if
   * nothing waits.
   */
  nextDueAt(maxWaitMs: number): number | undefined;

  /** Registers a listener that is called after each put. */
  onPut(listener: () => void): void;
}

export type SendOutcome =
  | { readonly kind: "accepted" }
  /** The same request may succeed later. */
  | {
      readonly kind: "retry";
      /** "upstream" if upstream as a whole seems to fail, "key" if it only rejects this SDK key for now. */
      readonly trouble: "upstream" | "key";
      /** For logs; never contains an SDK key. */
      readonly detail: string;
      /** The delay that upstream asked for, in ms. */
      readonly afterMs?: number;
    }
  /** A request with fewer events may be accepted. */
  | { readonly kind: "too_large" }
  /** Upstream rejects the SDK key, with 401 or 403. */
  | { readonly kind: "unauthorized"; readonly status: number }
  /** Upstream will never accept these events. */
  | { readonly kind: "refused"; readonly status: number };

/** The destination of log events. */
export interface EventSink {
  /**
   * Sends one request with all of these chunks. Every expected outcome is a value; rejects only when `signal` is aborted.
   * Always settles within the sink's own time limit.
   */
  send(group: EventGroup, chunks: readonly EventChunk[], signal: AbortSignal): Promise<SendOutcome>;
}

export interface Waiting {
  /** In ms since the Unix epoch. */
  readonly queuedAt: number;
  /** Breaks ties between equal times. */
  readonly id: number;
}

/** Groups sorted by how long they have waited, the longest first. Among 100,000, adding one takes about 10 µs. */
export class WaitingOrder<T extends Waiting> implements Iterable<T> {
  #all: T[] = [];

  get first(): T | undefined {
    return this.#all[0];
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#all[Symbol.iterator]();
  }

  load(all: readonly T[]): void {
    this.#all = all.toSorted(compare);
  }

  add(waiting: T): void {
    this.#all.splice(this.#findPlace(waiting), 0, waiting);
  }

  delete(waiting: Waiting): void {
    const place = this.#findPlace(waiting);
    if (this.#all[place]?.id === waiting.id) this.#all.splice(place, 1);
  }

  /** Returns the index where it is, or where it belongs. */
  #findPlace(waiting: Waiting): number {
    let [from, to] = [0, this.#all.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const other = this.#all[middle];
      if (other !== undefined && compare(other, waiting) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

const compare = (a: Waiting, b: Waiting): number => a.queuedAt - b.queuedAt || a.id - b.id;
