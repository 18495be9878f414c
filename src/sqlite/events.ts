export type LocalWork = "reading" | "writing";

/** What an operator should know of the embedded backup. `detail` is a sentence for people. */
export type LocalEvent =
  /** It can't be opened: the relay goes on with memory only, and tries again. Reported once, until `local_usable`. */
  | { readonly kind: "local_unusable"; readonly detail: string }
  | { readonly kind: "local_usable" }
  /** It could not be read, or written, just now. Each is told once, until that works again. */
  | { readonly kind: "local_failing"; readonly doing: LocalWork; readonly detail: string }
  | { readonly kind: "local_recovered"; readonly doing: LocalWork }
  /** The file is damaged, or not the relay's: it was moved out of the way, and a new one begun. */
  | { readonly kind: "local_corrupt_set_aside"; readonly setAsideAs: string; readonly detail: string }
  /** One version in it was damaged; a good one took its place. */
  | { readonly kind: "local_damage_replaced"; readonly detail: string }
  /** Versions that were not used for the longest time made room for others. */
  | { readonly kind: "local_evicted"; readonly versions: number; readonly detail: string };

export type EmitLocalEvent = (event: LocalEvent) => void;
