import type { SdkKey } from "../access/sdk-key.ts";

/** What happens to SDKs' events on their way. Counts are of events unless they say otherwise. */
export type LogEventsEvent =
  /** An SDK's request was answered 202. */
  | {
      readonly kind: "log_events_accepted";
      readonly sdkKey: SdkKey;
      readonly events: number;
      /** Exposures among them that were there before and go no further. */
      readonly repeats: number;
    }
  /** All exposures that were remembered for repeats have made room for newer ones, once more. */
  | { readonly kind: "log_events_window_turned" }
  /** An SDK's request was not taken. */
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
  | {
      readonly kind: "log_events_sent";
      readonly sdkKey: SdkKey;
      readonly events: number;
      readonly tookMs: number;
      /** Since the oldest of them came. */
      readonly waitedMs: number;
    }
  | {
      readonly kind: "log_events_delayed";
      readonly sdkKey: SdkKey;
      readonly events: number;
      readonly detail: string;
      readonly retryInMs: number;
    }
  /** Given up for good. */
  | {
      readonly kind: "log_events_dropped";
      readonly sdkKey: SdkKey;
      readonly events: number;
      readonly reason: "refused" | "event_too_large";
      readonly detail: string;
    }
  /** The queue could not be read or written just now. */
  | {
      readonly kind: "log_events_queue_failed";
      readonly action: "take" | "remove" | "release";
      readonly detail: string;
    }
  /** Not sent when the relay stopped. */
  | { readonly kind: "log_events_left"; readonly events: number; readonly outcome: "lost" | "kept" };

export type EmitLogEventsEvent = (event: LogEventsEvent) => void;
