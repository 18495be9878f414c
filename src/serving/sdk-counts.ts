import type { RequestHeaders } from "../http/observer.ts";
import { readSdk } from "../telemetry/metrics/client-tags.ts";
import { type CountedSdk, OTHER_SDK } from "../telemetry/status/sdks.ts";

/** The requests between two calls of `take` that are all read. */
const ALL_READ = 200;

/** Every 16th of the further requests is read, and counts for 16: it would be too expensive to read the headers of all. */
const SAMPLE_EVERY = 16;

/** Different SDKs between two calls of `take`. Clients can send any names. */
const MAX_SDKS = 100;

/** Counts which SDKs ask one thread, until the control plane takes the counts. */
export class SdkCounts {
  #counted = new Map<string, { readonly sdk: Omit<CountedSdk, "count">; count: number }>();
  #left = ALL_READ;
  #skipped = 0;

  /** This is on the hot path. */
  add(headers: RequestHeaders, protocol: CountedSdk["protocol"]): void {
    if (this.#left > 0) {
      this.#left--;
      this.#read(headers, protocol, 1);
    } else if (++this.#skipped === SAMPLE_EVERY) {
      this.#skipped = 0;
      this.#read(headers, protocol, SAMPLE_EVERY);
    }
  }

  /** Returns what was counted since the last call, each SDK and protocol once. */
  take(): readonly CountedSdk[] {
    const counted = this.#counted;
    this.#left = ALL_READ;
    if (counted.size === 0) return [];
    this.#counted = new Map();
    return Array.from(counted.values(), ({ sdk, count }) => ({ ...sdk, count }));
  }

  #read(headers: RequestHeaders, protocol: CountedSdk["protocol"], by: number): void {
    this.#add({ ...readSdk(headers), protocol }, by);
  }

  #add(sdk: Omit<CountedSdk, "count">, by: number): void {
    const id = `${sdk.type} ${sdk.version} ${sdk.protocol}`;
    const known = this.#counted.get(id);
    if (known !== undefined) known.count += by;
    else if (this.#counted.size < MAX_SDKS || sdk.type === OTHER_SDK.type)
      this.#counted.set(id, { sdk, count: by });
    else this.#add({ ...OTHER_SDK, protocol: sdk.protocol }, by);
  }
}
