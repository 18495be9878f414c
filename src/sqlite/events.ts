export type LocalWork = "reading" | "writing";

/** What an operator should know about the local backup. `detail` is a sentence. */
export type LocalEvent =
  /** The file can't be opened: the relay keeps config in memory only and tries again. Emitted once until `local_usable`. */
  | { readonly kind: "local_unusable"; readonly detail: string }
  | { readonly kind: "local_usable" }
  /** Reads or writes fail. Emitted once for each of the two until `local_recovered`. */
  | { readonly kind: "local_failing"; readonly doing: LocalWork; readonly detail: string }
  | { readonly kind: "local_recovered"; readonly doing: LocalWork }
  /** The file was corrupt, of another version, or not a backup. It was renamed, and a new one was created. */
  | { readonly kind: "local_corrupt_set_aside"; readonly setAsideAs: string; readonly detail: string }
  /** A stored version was corrupt and has been replaced by a good one. */
  | { readonly kind: "local_damage_replaced"; readonly detail: string }
  /** The least recently used versions were evicted. */
  | { readonly kind: "local_evicted"; readonly versions: number; readonly detail: string };

export type EmitLocalEvent = (event: LocalEvent) => void;
