/**
 * RFC 3339 in UTC; null if it has not happened.
 * @format date-time
 */
export type Timestamp = string | null;

/** An error and when it happened. */
export interface TimedError {
  /** When it happened. */
  readonly at: string;
  /** A text for people, which may change. */
  readonly detail: string;
}
