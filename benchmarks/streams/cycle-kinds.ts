/** When a client cancels its stream. */
export const CYCLE_KINDS = [
  /** In the write that opens it. */
  "at once",
  "after the response headers",
  "after the first message",
  /** The client's window has no room for data. */
  "with no window",
  /** The window has room for half of the first message. */
  "in the first message",
] as const;

export type CycleKind = (typeof CYCLE_KINDS)[number];

/** How many cycles the client has finished, of each kind. */
export type CyclesDone = Readonly<Record<CycleKind, number>>;
