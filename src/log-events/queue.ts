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

/** Returns a text that is equal for groups with equal content, whatever the order of their headers. It contains the SDK key. */
export function identifyGroup({ sdkKey, metadata, headers }: EventGroup): string {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sdkKey, metadata, sorted]);
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
  /** Identifies the claim. Only the queue interprets it. */
  readonly token: number;
  readonly group: EventGroup;
  readonly chunks: readonly EventChunk[];
  /** When the oldest chunk was put, ms since the Unix epoch. */
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

/**
 * Keeps events from the SDK's request until upstream has accepted them. A method rejects if the queue can't do it at the
 * moment, for example on a full disk; no event is lost then.
 */
export interface EventQueue extends AsyncDisposable {
  /** Resolves with "queued" when all events of the batch are stored, or with "full" when none is. */
  put(batch: EventBatch): Promise<"queued" | "full">;

  /**
   * Claims the oldest chunks of the group that has waited longest, out of the groups that are due and not claimed: as many chunks
   * as fit the limits, at least one. Only one claim of a group exists at a time, so that its events stay in order. Resolves with
   * undefined if no group is due.
   */
  claim(limits: ClaimLimits): Promise<ClaimedEvents | undefined>;

  /**
   * Deletes claimed events: upstream has them, or they are given up. With `count`, only the first `count` events of the claim,
   * counted from its start.
   */
  ack(claimed: ClaimedEvents, count?: number): Promise<void>;

  /** Deletes the claimed events and everything else of their group. Resolves with the number of events deleted. */
  drop(claimed: ClaimedEvents): Promise<number>;

  /** Returns what is left of the claim to the queue. It is claimed again before the newer events of the same group. */
  nack(claimed: ClaimedEvents): Promise<void>;

  /** Everything in the queue, claimed or not. */
  readonly depth: QueueDepth;

  /** From 0 (empty) to 1: the next batch is refused, or the oldest events are evicted for it. */
  readonly filled: number;

  /** Returns when the next group becomes due, in ms since the Unix epoch, or undefined if no group waits. */
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
