/** Final result of the bomb client. */
export interface Bombing {
  readonly bodyBytes: number;
  /** Number of responses by status. */
  readonly answers: readonly (readonly [status: number, count: number])[];
}
