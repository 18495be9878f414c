/** Orders the storm client to open all streams again, with this `sinceTime`. */
export interface StormOrder {
  readonly sinceTime: number;
}

/** All streams have their first message. Times are in ms since the order. */
export interface StormResult {
  readonly connectedMs: number;
  readonly firstMs: number;
  readonly medianMs: number;
  readonly lastMs: number;
  /** Connections that were refused or lost, and opened again. */
  readonly retries: number;
  readonly bytes: number;
}
