import type { EventChunk } from "../log-events/chunk.ts";
import type { EventBatch, EventGroup, QueueDepth } from "../log-events/queue.ts";
import type { SpoolDropReason, SpoolEvent } from "./events.ts";

/** Sent with every call, because a restarted Worker has no state. */
export interface SpoolLimits {
  readonly folder: string;
  /** Limit for the stored size of all rows. */
  readonly maxBytes: number;
  readonly maxBatches: number;
  readonly maxAgeMs: number;
}

/** The oldest row of a group that waits. */
export interface SpoolHead {
  readonly id: number;
  readonly queuedAt: number;
}

/** Rows of one group, from the first to the last id inclusive. One row is one chunk of a batch. */
export interface SpoolRows {
  readonly groupId: number;
  readonly firstId: number;
  readonly lastId: number;
}

/** All rows of a group from `firstId` on. */
export const rowsFrom = (groupId: number, firstId: number): SpoolRows => ({
  groupId,
  firstId,
  lastId: Number.MAX_SAFE_INTEGER,
});

/** The totals of a group and its oldest row. */
export interface SpoolGroup extends QueueDepth {
  readonly groupId: number;
  readonly head: SpoolHead;
}

export type SpoolAction =
  | { readonly kind: "open" }
  /** Stores all batches in one commit. Never evicts the rows in `claimed`. */
  | { readonly kind: "put"; readonly batches: readonly EventBatch[]; readonly claimed: readonly SpoolRows[] }
  | { readonly kind: "expire"; readonly claimed: readonly SpoolRows[] }
  | {
      readonly kind: "claim";
      readonly groupId: number;
      /** The first row that may be claimed. Rows before it are acknowledged, even if they are still in the file. */
      readonly fromId: number;
      readonly maxEvents: number;
      readonly maxBytes: number;
    }
  /** Deletes the first `events` events of the rows, or all of them if undefined. */
  | { readonly kind: "delete"; readonly rows: SpoolRows; readonly events: number | undefined }
  /** Replaces the file with an empty one if it contains nothing but `undeleted`. */
  | { readonly kind: "recreate"; readonly undeleted: readonly SpoolRows[] }
  /** Leaves one complete database file, without a write-ahead log. */
  | { readonly kind: "close" };

export interface SpoolCall {
  readonly limits: SpoolLimits;
  /** Ms since the Unix epoch. */
  readonly now: number;
  readonly action: SpoolAction;
}

/** Where a batch was stored: the id of its first row. Undefined if the batch alone is larger than the spool may be. */
export type SpoolPlace = { readonly groupId: number; readonly id: number } | undefined;

export interface SpoolClaimed {
  readonly rows: SpoolRows;
  readonly group: EventGroup;
  readonly chunks: readonly EventChunk[];
  /** The totals of the claimed rows. */
  readonly sums: QueueDepth;
  /** When the oldest of the rows was put, ms since the Unix epoch. */
  readonly queuedAt: number;
  /** The oldest row of the group that is not claimed, if there is one. */
  readonly next: SpoolHead | undefined;
}

export type SpoolOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "put"; readonly places: readonly SpoolPlace[] }
  /** `claimed` is undefined if the group has no usable rows. */
  | { readonly kind: "claimed"; readonly claimed: SpoolClaimed | undefined }
  /** What was deleted, and the first of the rows that is left. */
  | { readonly kind: "deleted"; readonly sums: QueueDepth; readonly first: SpoolHead | undefined }
  /** The disk is full. */
  | { readonly kind: "full"; readonly detail: string }
  | { readonly kind: "failed"; readonly detail: string };

/** Rows of one group that were dropped: from `firstId` up to `head`, which is now the oldest row of the group. */
export interface SpoolDrop {
  readonly reason: SpoolDropReason;
  readonly groupId: number;
  readonly firstId: number;
  readonly sums: QueueDepth;
  readonly head: SpoolHead | undefined;
}

export interface SpoolReply {
  readonly outcome: SpoolOutcome;
  /** The stored size of all rows, which `maxBytes` limits. Meaningless if the outcome is a failure. */
  readonly storedBytes: number;
  /** Set if the call opened the file: what it contained then. `outcome` and `dropped` happened after that. */
  readonly opened: readonly SpoolGroup[] | undefined;
  readonly dropped: readonly SpoolDrop[];
  readonly events: readonly SpoolEvent[];
}
