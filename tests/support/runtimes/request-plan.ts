/** What `request-process.ts` does, as JSON in its argument. */
export interface RequestPlan {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly redirect?: "manual";
  readonly decompress?: false;
  /** By default nothing is aborted. */
  readonly abortAfterMs?: number;
  /** Since when `abortAfterMs` counts: from the start by default, or from the headers of the response. */
  readonly abortFrom?: "headers";
  /** Time between the headers and the first read of the body. */
  readonly readAfterMs?: number;
}

/** What it prints, as JSON. */
export type RequestOutcome =
  | { readonly status: number; readonly text: string }
  | { readonly failed: "request" | "body"; readonly code: string };
