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
  /** Names what was taken; for the queue alone. */
  readonly token: number;
  readonly group: EventGroup;
  readonly chunks: readonly EventChunk[];
  /** When the oldest was put. */
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
 * Keeps events between the SDK's request and upstream's acceptance. Every method rejects where the queue can't
 * work just now; nothing is lost by that.
 */
export interface EventQueue extends AsyncDisposable {
  /** Resolves once all events are safe, or with "full" and none was kept. */
  put(batch: EventBatch): Promise<"queued" | "full">;

  /**
   * The longest waiting group that is due and not taken: as many of its chunks, from the oldest on, as fit the
   * limits, at least one. A group is taken by one at a time, so that its events stay in order.
   */
  take(limits: ClaimLimits): Promise<ClaimedEvents | undefined>;

  /** Upstream has them, or they are given up: gone for good. If `count` is given, only so many events from the first on. */
  remove(taken: ClaimedEvents, count?: number): Promise<void>;

  /** Gives up what was taken and all else that waits of its group. Returns how many events those are. */
  drop(taken: ClaimedEvents): Promise<number>;

  /** To be taken again, before what came later of the same group. */
  release(taken: ClaimedEvents): Promise<void>;

  /** What is kept, taken or not. */
  readonly depth: QueueDepth;

  /** 0 for empty; at 1 the next batch finds no room, or the oldest make room for it. */
  readonly filled: number;

  /** When the next group comes to be due, given how long a batch may wait; undefined where nothing waits. */
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
