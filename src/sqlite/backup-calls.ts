import type { SpecFormat } from "../specs/feed.ts";
import type { LocalEvent } from "./events.ts";

/** Where the file is and how much may be in it. Part of each call: a Worker that was started anew knows nothing. */
export interface LocalLimits {
  readonly folder: string;
  readonly maxKeys: number;
  readonly maxBytes: number;
}

/** One version of a feed as the file keeps it: whose it is, only digests tell. */
export interface KeptVersion {
  readonly feedDigest: string;
  readonly keyDigest: string;
  readonly lcut: number;
  readonly format: SpecFormat;
  readonly contentEncoding: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

export type LocalAction =
  /** Opens the file, also one that took the place of the one that was open. */
  | { readonly kind: "open" }
  | {
      readonly kind: "read";
      readonly feedDigest: string;
      readonly newerThan: number;
      /** A longer body is not read. */
      readonly maxBytes: number;
    }
  | {
      readonly kind: "write";
      readonly version: KeptVersion;
      readonly instead: number | undefined;
      /** Versions of the feed are times of a relay's clock: one that is yet to come keeps nothing out. */
      readonly hasClockTimes: boolean;
    }
  | { readonly kind: "touch"; readonly feedDigest: string }
  | { readonly kind: "remove"; readonly feedDigest: string }
  /** Leaves one whole file behind, without a log beside it. */
  | { readonly kind: "close" };

export type LocalWrite = Extract<LocalAction, { kind: "write" }>;

export interface LocalCall {
  readonly limits: LocalLimits;
  /** Ms since the Unix epoch. */
  readonly now: number;
  readonly action: LocalAction;
}

export type LocalOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "found"; readonly version: KeptVersion }
  | { readonly kind: "none" }
  /** What is there is longer than was asked for; it stays. */
  | { readonly kind: "too_large" }
  /** What was there is damaged; it has been deleted. */
  | { readonly kind: "damaged" }
  | { readonly kind: "not_newer"; readonly lcut: number }
  | { readonly kind: "failed"; readonly detail: string };

export interface LocalReply {
  readonly outcome: LocalOutcome;
  /** The file was opened on the way: it may lack what the one before had. */
  readonly hasOpened: boolean;
  /** What happened on the way, even where the action failed in the end. */
  readonly events: readonly LocalEvent[];
}
