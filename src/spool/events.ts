/** Why events were dropped: a size limit, the age limit, or damage to the file. */
export type SpoolDropReason = "size" | "age" | "damage";

/** What an operator should know about the event spool. `detail` is a sentence. */
export type SpoolEvent =
  /** The file can't be opened: the relay keeps events in memory and tries again. Emitted once until `spool_usable`. */
  | { readonly kind: "spool_unusable"; readonly detail: string }
  | { readonly kind: "spool_usable" }
  /** The file was corrupt, of another version, or not a spool. It was renamed, and a new one was created. */
  | { readonly kind: "spool_corrupt_set_aside"; readonly setAsideAs: string; readonly detail: string }
  /** Events that were acknowledged to the SDK are lost. `bytes` is their size as the SDKs sent them. */
  | {
      readonly kind: "spool_dropped";
      readonly events: number;
      readonly bytes: number;
      readonly reason: SpoolDropReason;
    }
  /** Reads or writes fail, for example on a full disk. Emitted for each of them until `spool_recovered`. */
  | { readonly kind: "spool_failing"; readonly detail: string }
  | { readonly kind: "spool_recovered" };

export type EmitSpoolEvent = (event: SpoolEvent) => void;
