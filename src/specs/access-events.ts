/** What happens to those who ask, and to the list of those who may. SDK keys are not told: most are strangers'. */
export type AccessEvent =
  /** A request was turned away before anything was asked for it. */
  | { readonly kind: "key_refused"; readonly reason: "not_allowed" | "throttled" }
  /** A changed list of allowed keys was taken over. */
  | { readonly kind: "allowed_keys_reloaded"; readonly keys: number; readonly removed: number }
  /** A changed list can't be used; the one before goes on. */
  | { readonly kind: "allowed_keys_refused"; readonly detail: string };

export type EmitAccessEvent = (event: AccessEvent) => void;
