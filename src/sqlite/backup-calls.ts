import type { Overwritable } from "../specs/backup.ts";
import type { SpecFormat } from "../specs/feed.ts";
import type { LocalEvent } from "./events.ts";

/** Sent with every call, because a restarted Worker has no state. */
export interface LocalLimits {
  /** The folder of the file. */
  readonly folder: string;
  readonly maxKeys: number;
  readonly maxBytes: number;
}

/** One version of a feed, or a manifest of ID lists, as the file stores it. It identifies its SDK key by digest only. */
export interface StoredVersion {
  readonly feedDigest: string;
  readonly keyDigest: string;
  readonly lcut: number;
  readonly format: SpecFormat;
  readonly contentEncoding: string;
  readonly body: Uint8Array<ArrayBuffer>;
  /** What changed since earlier versions. Not stored if the limits leave no room for it. */
  readonly history?: Uint8Array<ArrayBuffer>;
}

/** Returns the buffers that are transferred, not copied, when a version is sent to another thread. */
export function listBuffers({ body, history }: StoredVersion): readonly ArrayBuffer[] {
  return history === undefined ? [body.buffer] : [body.buffer, history.buffer];
}

export type LocalAction =
  /** Opens the file, also if another file has replaced the one that was open. */
  | { readonly kind: "open" }
  | {
      readonly kind: "read";
      readonly feedDigest: string;
      readonly newerThan: number;
      /** A longer body is not read. */
      readonly maxBytes: number;
    }
  | { readonly kind: "read_history"; readonly feedDigest: string }
  | {
      readonly kind: "write";
      readonly version: StoredVersion;
      /** The stored version that is replaced although it is not older. */
      readonly instead: Overwritable | undefined;
      /** `lcut` is the time on a relay's clock. A stored version from the future is then replaced. */
      readonly hasClockTimes: boolean;
    }
  | { readonly kind: "touch"; readonly feedDigest: string }
  | { readonly kind: "remove"; readonly feedDigest: string }
  | { readonly kind: "read_pins" }
  /** Replaces the pins if they are as expected. */
  | { readonly kind: "replace_pins"; readonly expected: string | undefined; readonly text: string }
  /** Leaves one complete database file, without a write-ahead log. */
  | { readonly kind: "close" };

/** Whether the action works while another process has the file locked for writing. */
export const isRead = ({ kind }: LocalAction): boolean =>
  kind === "read" || kind === "read_history" || kind === "read_pins";

export type LocalWrite = Extract<LocalAction, { kind: "write" }>;

export interface LocalCall {
  readonly limits: LocalLimits;
  /** Ms since the Unix epoch. */
  readonly now: number;
  readonly action: LocalAction;
}

export type LocalOutcome =
  /** `replacedContent`: the stored version had the same lcut and another content. */
  | { readonly kind: "done"; readonly replacedContent?: true }
  | { readonly kind: "found"; readonly version: StoredVersion }
  | { readonly kind: "found_history"; readonly history: Uint8Array<ArrayBuffer> }
  | { readonly kind: "found_pins"; readonly text: string }
  /** Also if pins are not as expected. */
  | { readonly kind: "none" }
  /** The stored body is longer than `maxBytes`. It was left in place. */
  | { readonly kind: "too_large" }
  /** The stored version was corrupt. It was deleted. */
  | { readonly kind: "damaged" }
  | { readonly kind: "not_newer"; readonly lcut: number }
  | { readonly kind: "failed"; readonly detail: string };

export interface LocalReply {
  readonly outcome: LocalOutcome;
  /** The call opened the file, which may lack versions that an earlier file had. */
  readonly hasOpened: boolean;
  /** What happened during the call, even if the action failed in the end. */
  readonly events: readonly LocalEvent[];
}
