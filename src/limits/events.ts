/** Limits by the option that sets each. */
export type LimitName =
  | "max-connections"
  | "max-in-flight"
  | "max-header-size-in-kb"
  | "max-header-count"
  | "max-url-length"
  | "max-request-body-in-mb"
  | "header-timeout-in-s"
  | "body-timeout-in-s"
  | "idle-timeout-in-s"
  | "http2-max-concurrent-streams"
  | "http2-max-resets-per-min";

/** Something was refused, or cut off, at a limit. */
export interface LimitEvent {
  readonly kind: "limit_reached";
  readonly limit: LimitName;
}

export type EmitLimitEvent = (event: LimitEvent) => void;
