/** What `request-process.ts` does, as JSON in its argument. */
export interface RequestPlan {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly redirect?: "manual";
  readonly decompress?: false;
  /** From the start. By default nothing is aborted. */
  readonly abortAfterMs?: number;
  /** Time between the headers and the first read of the body. */
  readonly readAfterMs?: number;
}

/** What it prints, as JSON. */
export type RequestOutcome =
  | { readonly status: number; readonly text: string }
  | { readonly failed: "request" | "body"; readonly code: string };
