/** Events of serving threads, for logs, metrics and the status page. `name` is such as `http-1`: the kind and a number. */
export type ServingEvent =
  /** The thread has opened its ports and serves. */
  | { readonly kind: "thread_started"; readonly name: string; readonly isReplacement: boolean }
  | {
      readonly kind: "thread_lost";
      readonly name: string;
      /** `hung`: its event loop did not run for too long, and it was ended. */
      readonly reason: "died" | "hung";
      /** Without secrets. */
      readonly detail: string;
    }
  | {
      readonly kind: "thread_failed_to_start";
      readonly name: string;
      /** Without secrets. */
      readonly detail: string;
      readonly retryInMs: number;
    };

export type EmitServingEvent = (event: ServingEvent) => void;
