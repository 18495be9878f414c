/** What the probe client tells at its end. Times are ms since the Unix epoch. */
export interface Probing {
  /** When a small request was sent, and how many ms its answer took. */
  readonly samples: readonly (readonly [number, number])[];
  /** When an answer first named this version. */
  readonly versions: readonly (readonly [number, number])[];
}

/** Between an answer and the next request. */
export const PROBE_PAUSE_MS = 1;

/**
 * Latencies as clients see them that do not wait for one another: in a stall of 50 ms one probe waits, but
 * 50 would have been sent.
 */
export function asIndependentClients(latenciesMs: readonly number[]): number[] {
  return latenciesMs.flatMap((latency) => {
    const waits = Math.max(1, Math.floor(latency / PROBE_PAUSE_MS));
    return Array.from({ length: waits }, (_, at) => latency - at * PROBE_PAUSE_MS);
  });
}
