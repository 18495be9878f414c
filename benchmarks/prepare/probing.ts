/** Final result of the probe client. Times are ms since the Unix epoch. */
export interface Probing {
  /** When a request was sent, and its latency in ms. */
  readonly samples: readonly (readonly [number, number])[];
  /** When a response first had a version, and that version. */
  readonly versions: readonly (readonly [number, number])[];
}

/** Usual pause between a response and the next request. */
export const PROBE_PAUSE_MS = 1;

/**
 * Corrects latencies for coordinated omission. During a stall of 50 ms one probe waits, but independent clients would
 * have sent 50 requests.
 */
export function asIndependentClients(latenciesMs: readonly number[], pauseMs = PROBE_PAUSE_MS): number[] {
  return latenciesMs.flatMap((latency) => {
    const waits = Math.max(1, Math.floor(latency / pauseMs));
    return Array.from({ length: waits }, (_, at) => latency - at * pauseMs);
  });
}
