import type { SdkKey } from "../access/sdk-key.ts";

/** A telemetry event of the log-event flow. Counts are of log events, unless stated otherwise. */
export type LogEventsEvent =
  /** A client's request got the response 202. */
  | {
      readonly kind: "log_events_accepted";
      readonly sdkKey: SdkKey;
      readonly events: number;
      /** Exposures among them that were duplicates and are not forwarded. */
      readonly duplicates: number;
    }
  /** Every exposure in the window of deduplication has been evicted since the last such event. */
  | { readonly kind: "log_events_window_turned" }
  /** A client's request was rejected. */
  | {
      readonly kind: "log_events_rejected";
      readonly sdkKey: SdkKey;
      readonly reason:
        | "malformed"
        | "too_large"
        | "too_many_events"
        | "metadata_too_large"
        | "queue_full"
        | "busy"
        | "queue_failed";
      readonly detail?: string;
    }
  /** Upstream accepted a request. */
  | {
      readonly kind: "log_events_sent";
      readonly sdkKey: SdkKey;
      readonly events: number;
      readonly tookMs: number;
      /** Since the oldest of them was queued. */
      readonly waitedMs: number;
    }
  /** A request to upstream failed and will be retried. */
  | {
      readonly kind: "log_events_delayed";
      readonly sdkKey: SdkKey;
      readonly events: number;
      readonly detail: string;
      /** Whether upstream fails, or only rejects events of this key for now. */
      readonly trouble: "key" | "upstream";
      readonly retryInMs: number;
    }
  /** Events were given up, since upstream will never accept them, or since nothing is sent in offline mode. */
  | {
      readonly kind: "log_events_dropped";
      readonly sdkKey: SdkKey;
      readonly events: number;
      readonly reason: "refused" | "event_too_large" | "offline";
      readonly detail: string;
    }
  /** An operation of the queue failed and will be retried. */
  | {
      readonly kind: "log_events_queue_failed";
      /** A tag of the metric, whose values must stay: to claim, to acknowledge and to return events. */
      readonly action: "take" | "remove" | "release";
      readonly detail: string;
    }
  /** Events were not sent before the relay stopped. */
  | { readonly kind: "log_events_left"; readonly events: number; readonly outcome: "lost" | "kept" };

export type EmitLogEventsEvent = (event: LogEventsEvent) => void;
