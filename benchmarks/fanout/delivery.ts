/** A message that all streams have received, as reported by the client. */
export interface Delivery {
  /** When each stream had all of it, in ms since the Unix epoch, ascending. */
  readonly arrivals: readonly number[];
  /** Version of the message of one stream, which was decoded. */
  readonly lcut: number;
  /** SHA-256 of the text of that message. */
  readonly specDigest: string;
}
