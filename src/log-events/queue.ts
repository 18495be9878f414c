import type { SdkKey } from "../access/sdk-key.ts";
import type { ChunkLimits, EventChunk } from "./chunk.ts";

/** What may be forwarded in one request: events of one SDK key, from SDKs that say the same of themselves. */
export interface EventGroup {
  readonly sdkKey: SdkKey;
  /** The JSON text of `statsigMetadata` as the SDK sent it; empty where it sent none. */
  readonly metadata: string;
  /** The headers that are forwarded, by lower-case name: what the SDK says of itself, and the way that its events came. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Returns a text that is equal for groups with equal content, whatever the order of their headers. It contains the SDK key. */
export function identifyGroup({ sdkKey, metadata, headers }: EventGroup): string {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sdkKey, metadata, sorted]);
}

/** Events that came in one request. */
export interface EventBatch {
  readonly group: EventGroup;
  /** At least one. */
  readonly chunks: readonly EventChunk[];
  /** Ms since the Unix epoch. */
  readonly queuedAt: number;
}

/** Chunks of one group, in the order in which they were put, that one request can carry. */
export interface ClaimedEvents {
  /** Identifies the claim. Only the queue interprets it. */
  readonly token: number;
  readonly group: EventGroup;
  readonly chunks: readonly EventChunk[];
  /** When the oldest chunk was put, ms since the Unix epoch. */
  readonly queuedAt: number;
}

export interface ClaimLimits extends ChunkLimits {
  /** A group is due when its oldest chunk was put before this (ms since the Unix epoch), or when the limits are full. */
  readonly dueBefore: number;
}

/** Events that are not sent when the relay stops. */
export interface EventsLeft {
  /** On disk, from where the next relay sends them. */
  readonly kept: number;
  readonly lost: number;
}

export interface QueueDepth {
  /** Chunks: a batch with more events than one request to upstream can carry counts more than once. */
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

  /** Called after each put. */
  onPut(listener: () => void): void;
}

export type SendOutcome =
  /** Upstream has them. */
  | { readonly kind: "accepted" }
  /** Not now. */
  | {
      readonly kind: "retry";
      /** Whether upstream as a whole seems to be in trouble, or said no to this key alone. */
      readonly trouble: "upstream" | "key";
      /** For people; never holds an SDK key. */
      readonly detail: string;
      /** How long upstream asked us to stay away, in ms. */
      readonly afterMs?: number;
    }
  /** Fewer at once might be taken. */
  | { readonly kind: "too_large" }
  /** Nothing of this SDK key: 401 or 403. */
  | { readonly kind: "unauthorized"; readonly status: number }
  /** Never. */
  | { readonly kind: "refused"; readonly status: number };

/** Where events go. */
export interface EventSink {
  /**
   * One request with the events of all these chunks. Every expected ending is a value; it rejects for `signal`
   * alone, and always ends within the sink's own time limit.
   */
  send(group: EventGroup, chunks: readonly EventChunk[], signal: AbortSignal): Promise<SendOutcome>;
}

export interface Waiting {
  /** Ms since the Unix epoch. */
  readonly queuedAt: number;
  /** Decides between those of the same time. */
  readonly id: number;
}

/** Groups that wait, the longest waiting first. Among 100,000, one is put in its place within some 10 µs. */
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
    this.#all.splice(this.#placeOf(waiting), 0, waiting);
  }

  delete(waiting: Waiting): void {
    const place = this.#placeOf(waiting);
    if (this.#all[place]?.id === waiting.id) this.#all.splice(place, 1);
  }

  /** Where it is, or would be. */
  #placeOf(waiting: Waiting): number {
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
