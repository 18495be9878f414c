/** What the client that sends bombs tells at its end. */
export interface Bombing {
  readonly bodyBytes: number;
  /** How often each status was answered. */
  readonly answers: readonly (readonly [status: number, count: number])[];
}
