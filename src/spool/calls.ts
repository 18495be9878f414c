import type { EventChunk } from "../log-events/chunk.ts";
import type { EventBatch, EventGroup, QueueDepth } from "../log-events/queue.ts";
import type { SpoolDropReason, SpoolEvent } from "./events.ts";

/** Part of each call: a Worker that was started anew knows nothing. */
export interface SpoolLimits {
  readonly folder: string;
  /** Of all rows, as they are stored. */
  readonly maxBytes: number;
  readonly maxBatches: number;
  readonly maxAgeMs: number;
}

/** The oldest row of a group that waits. */
export interface SpoolHead {
  readonly id: number;
  readonly queuedAt: number;
}

/** Rows of one group, by the ids of the first and the last. */
export interface SpoolRows {
  readonly groupId: number;
  readonly firstId: number;
  readonly lastId: number;
}

/** All rows of a group from this one on. */
export const rowsFrom = (groupId: number, firstId: number): SpoolRows => ({
  groupId,
  firstId,
  lastId: Number.MAX_SAFE_INTEGER,
});

/** Rows and their sums: one row is one chunk of a batch. */
export interface SpoolGroup extends QueueDepth {
  readonly groupId: number;
  readonly head: SpoolHead;
}

export type SpoolAction =
  | { readonly kind: "open" }
  /** All in one commit. `taken` are never what makes room. */
  | { readonly kind: "put"; readonly batches: readonly EventBatch[]; readonly taken: readonly SpoolRows[] }
  | { readonly kind: "expire"; readonly taken: readonly SpoolRows[] }
  | {
      readonly kind: "take";
      readonly groupId: number;
      /** The first that may be taken: what is before it is removed, though it may still be there. */
      readonly fromId: number;
      readonly maxEvents: number;
      readonly maxBytes: number;
    }
  /** The first `events` of the rows; all of them where undefined. */
  | { readonly kind: "remove"; readonly rows: SpoolRows; readonly events: number | undefined }
  /** Deletes the file, if nothing but `gone` is in it, and begins a new one. */
  | { readonly kind: "renew"; readonly gone: readonly SpoolRows[] }
  /** Leaves one whole file behind, without a log beside it. */
  | { readonly kind: "close" };

export interface SpoolCall {
  readonly limits: SpoolLimits;
  /** Ms since the Unix epoch. */
  readonly now: number;
  readonly action: SpoolAction;
}

/** Where a batch went, by the id of its first row; undefined where it is larger than the spool may be. */
export type SpoolPlace = { readonly groupId: number; readonly id: number } | undefined;

export interface SpoolClaimed {
  readonly rows: SpoolRows;
  readonly group: EventGroup;
  readonly chunks: readonly EventChunk[];
  /** Of the rows. */
  readonly sums: QueueDepth;
  readonly queuedAt: number;
  /** What is left of the group. */
  readonly next: SpoolHead | undefined;
}

export type SpoolOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "put"; readonly places: readonly SpoolPlace[] }
  /** Undefined where there is nothing of the group. */
  | { readonly kind: "taken"; readonly taken: SpoolClaimed | undefined }
  /** How much is gone, and the first of the rows that is not. */
  | { readonly kind: "removed"; readonly sums: QueueDepth; readonly first: SpoolHead | undefined }
  /** There is no room on the disk. */
  | { readonly kind: "full"; readonly detail: string }
  | { readonly kind: "failed"; readonly detail: string };

/** Rows of one group that were given up: those from `firstId` on, up to what is its head now. */
export interface SpoolDrop {
  readonly reason: SpoolDropReason;
  readonly groupId: number;
  readonly firstId: number;
  readonly sums: QueueDepth;
  readonly head: SpoolHead | undefined;
}

export interface SpoolReply {
  readonly outcome: SpoolOutcome;
  /** Of all rows, as they are stored: what `maxBytes` bounds. Nothing to go by where the outcome is a failure. */
  readonly storedBytes: number;
  /** All that was in the file when it was opened, where that was on the way. The rest happened after it. */
  readonly opened: readonly SpoolGroup[] | undefined;
  readonly dropped: readonly SpoolDrop[];
  readonly events: readonly SpoolEvent[];
}
