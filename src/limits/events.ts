/** Limits by the option that sets each. */
export type LimitName =
  | "max-connections"
  | "max-in-flight"
  /** Over HTTP/2 it is told once Bun has refused a hundred requests of a connection. */
  | "max-header-size-in-kb"
  | "max-header-count"
  | "max-url-length"
  | "max-request-body-in-mb"
  | "header-timeout-in-s"
  | "body-timeout-in-s"
  /** Told when as many streams are open as may be: those beyond Bun refuses by itself. */
  | "http2-max-concurrent-streams"
  | "http2-max-resets-per-min"
  /** There is no option for these. */
  | "http2-settings-per-min"
  | "arriving-requests"
  | "arriving-bodies";

/** Something was refused, or cut off, at a limit. */
export type LimitEvent =
  | LimitReached
  /** An HTTP/2 client answered no PING and showed no other sign of life: its connection is closed. */
  | { readonly kind: "client_vanished" }
  /** The system lets the process have too few descriptors for as many connections as may be: each port has fewer. */
  | { readonly kind: "connections_lowered"; readonly connections: number; readonly descriptors: number };

export interface LimitReached {
  readonly kind: "limit_reached";
  readonly limit: LimitName;
}

export type EmitLimitEvent = (event: LimitEvent) => void;
