/** Why events were given up: no room, `maxAgeMs` over, or the file damaged. */
export type SpoolDropReason = "size" | "age" | "damage";

/** What an operator should know of the event spool. `detail` is a sentence for people. */
export type SpoolEvent =
  /** It can't be opened: the relay keeps events in memory, and tries again. Reported once, until `spool_usable`. */
  | { readonly kind: "spool_unusable"; readonly detail: string }
  | { readonly kind: "spool_usable" }
  /** The file is damaged, or not the relay's: it was moved out of the way, and a new one begun. */
  | { readonly kind: "spool_corrupt_set_aside"; readonly setAsideAs: string; readonly detail: string }
  /** Acknowledged, but never forwarded. `bytes` are those of the events, as the SDKs sent them. */
  | {
      readonly kind: "spool_dropped";
      readonly events: number;
      readonly bytes: number;
      readonly reason: SpoolDropReason;
    }
  /** Nothing can be written, as with a full disk. Said once, until `spool_recovered`. */
  | { readonly kind: "spool_failing"; readonly detail: string }
  | { readonly kind: "spool_recovered" };

export type EmitSpoolEvent = (event: SpoolEvent) => void;
