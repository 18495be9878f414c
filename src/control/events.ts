/** Events of serving threads, for logs, metrics and the status page. */
export type ServingEvent =
  | {
      readonly kind: "thread_lost";
      /** Such as `http-1`. */
      readonly name: string;
      readonly reason: "died" | "hung";
      readonly detail: string;
    }
  /** The thread replaces one that was lost. */
  | { readonly kind: "thread_replaced"; readonly name: string }
  | {
      readonly kind: "thread_failed_to_start";
      readonly name: string;
      readonly detail: string;
      readonly retryInMs: number;
    };

export type EmitServingEvent = (event: ServingEvent) => void;
