/** What happens to requests and to the allow-list. Events have no SDK keys: most refused keys are made up. */
export type AccessEvent =
  /** A request was refused without a request to upstream. */
  | { readonly kind: "key_refused"; readonly reason: "not_allowed" | "throttled" }
  /** A changed list of allowed keys was loaded. */
  | { readonly kind: "allowed_keys_reloaded"; readonly keys: number; readonly removed: number }
  /** A changed list is invalid; the previous one stays in use. */
  | { readonly kind: "allowed_keys_refused"; readonly detail: string };

export type EmitAccessEvent = (event: AccessEvent) => void;
