/** Final result of the event client. Byte counts are those of one body. */
export interface Sending {
  readonly batches: number;
  readonly events: number;
  readonly refused: number;
  readonly bodyBytes: number;
  readonly plainBytes: number;
}
