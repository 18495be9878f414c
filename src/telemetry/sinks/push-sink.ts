import type { SinkName } from "./events.ts";
import type { Measurement } from "./measurement.ts";

/** Where measurements are sent to. */
export interface PushSink extends AsyncDisposable {
  readonly name: SinkName;
  /**
   * Resolves once they are handed over; rejects with what people should read where they are lost. Called again
   * only after it has settled. Must end soon after `signal` is aborted.
   */
  send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void>;
}
