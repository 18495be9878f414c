/** One HTTP request that was answered. */
export interface HttpEvent {
  readonly kind: "http_request";
  readonly method: string;
  /** From the route table, never from the request. */
  readonly route: string;
  readonly status: number;
  readonly tookMs: number;
}

export type EmitHttpEvent = (event: HttpEvent) => void;
