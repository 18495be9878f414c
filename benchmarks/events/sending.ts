/** What the event client tells at its end. Bytes are those of one body. */
export interface Sending {
  readonly batches: number;
  readonly events: number;
  readonly refused: number;
  readonly bodyBytes: number;
  readonly plainBytes: number;
}
