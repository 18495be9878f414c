/** One message that every stream has got, as the client tells it. */
export interface Delivery {
  /** When each stream had it whole, ms since the Unix epoch, in order. */
  readonly arrivals: readonly number[];
  /** Of one stream's message, which was decoded. */
  readonly lcut: number;
  /** SHA-256 of its text. */
  readonly specDigest: string;
}
