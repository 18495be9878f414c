/**
 * Limits by the option that sets each; those that Bun keeps by itself (header size, concurrent streams) are told to
 * nobody.
 */
export type LimitName =
  | "max-connections"
  | "max-in-flight"
  | "max-header-count"
  | "max-url-length"
  | "max-request-body-in-mb"
  | "header-timeout-in-s"
  | "body-timeout-in-s"
  | "http2-max-resets-per-min";

/** Something was refused, or cut off, at a limit. */
export type LimitEvent =
  | LimitReached
  /** The system lets the process have too few descriptors for as many connections as may be: each port has fewer. */
  | { readonly kind: "connections_lowered"; readonly connections: number; readonly descriptors: number };

export interface LimitReached {
  readonly kind: "limit_reached";
  readonly limit: LimitName;
}

export type EmitLimitEvent = (event: LimitEvent) => void;
