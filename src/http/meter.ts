import type { SdkKey } from "../access/sdk-key.ts";

/** A request that was answered, as far as it is counted. */
export interface HandledRequest {
  /** As the request named it. The only value that a stranger can make up: the meter bounds it. */
  readonly sdkKey: SdkKey | undefined;
  /** From the route table, never from the request. */
  readonly path: string;
  readonly status: number;
  /** Those that the relay knows, as `gzip+br`; `none` for none. */
  readonly acceptEncoding: string;
  /** `identity` for none. */
  readonly contentEncoding: string;
}

/** Where requests of one kind are counted. */
export interface RequestCell {
  record(tookMs: number): void;
}

/** Counts requests. */
export interface RequestMeter {
  /** The cell of such a request: to be kept where it is asked for often. */
  cell(answered: HandledRequest): RequestCell;
}
