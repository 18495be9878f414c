/** The heap of one thread. */
export interface HeapSize {
  readonly objects: number;
  readonly bytes: number;
}
