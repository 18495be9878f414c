/**
 * RFC 3339 in UTC; null if it has not happened.
 * @format date-time
 */
export type Timestamp = string | null;
