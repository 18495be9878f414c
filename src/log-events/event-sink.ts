import type { EventChunk } from "./event-chunk.ts";
import type { EventGroup } from "./event-queue.ts";

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
