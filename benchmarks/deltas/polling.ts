/** A round of polls: each poller polls until it has a version, at least once. Sent to the client as a line of JSON. */
export interface PollRound {
  readonly lcut: number;
  /** What pollers send with their next polls, as an SDK that has decoded the response. */
  readonly checksum: string;
  /** Whether pollers ask for deltas. */
  readonly acceptDeltas: boolean;
  /** Interval of each poller. Pollers are spread over it evenly. */
  readonly intervalMs: number;
}

/** What the client writes at the end of a round. */
export interface PolledRound {
  readonly polls: number;
  /** Number of responses with the version: whole, and as a delta. */
  readonly full: number;
  readonly deltas: number;
  /** Bytes that all sockets have received, headers included; and those of the responses with the version. */
  readonly receivedBytes: number;
  readonly updateBytes: number;
  /** Time from when a poll was due to the end of its response. */
  readonly latenciesMs: readonly number[];
}
