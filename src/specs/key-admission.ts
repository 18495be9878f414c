import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.ts";
import type { AllowList } from "./allow-list.ts";
import type { SdkKey } from "./sdk-key.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface Throttled {
  readonly kind: "throttled";
  readonly retryAfterMs: number;
}

export type Admission = { readonly kind: "admitted" } | { readonly kind: "not_allowed" } | Throttled;

/** A cold start asks for several feeds of a key, and its ID lists, within so long: all of that is one admission. */
const PASS_TTL_MS = 30_000;

export interface KeyAdmissionOptions {
  readonly allowList: AllowList;
  /** As many keys never seen before may come at once; a cold start with all keys that can be held passes whole. */
  readonly maxKeys: number;
  readonly unknownKeysPerS: number;
  readonly clock: Clock;
}

/**
 * Says which keys upstream may be asked for: those of the allow-list, or where there is none, keys that are known, and so
 * many others.
 */
export class KeyAdmission {
  readonly #allowList: AllowList;
  readonly #bucket: TokenBucket;
  readonly #passed: LRUCache<SdkKey, true>;
  readonly #delivered: LRUCache<SdkKey, true>;
  readonly #holders: ((sdkKey: SdkKey) => boolean)[] = [];

  constructor({ allowList, maxKeys, unknownKeysPerS, clock }: KeyAdmissionOptions) {
    this.#allowList = allowList;
    this.#bucket = new TokenBucket({ capacity: maxKeys, refillPerS: unknownKeysPerS, clock });
    const perf = { now: () => clock.elapsed() };
    // Strangers of a whole bucket must not push out those who wait for upstream.
    this.#passed = new LRUCache({ max: 2 * maxKeys, ttl: PASS_TTL_MS, perf, ttlResolution: 0 });
    this.#delivered = new LRUCache({ max: maxKeys });
  }

  /** From now on so many that nobody knows. */
  admitUnknown(keysPerS: number): void {
    this.#bucket.refillWith(keysPerS);
  }

  /** Whoever holds something of a key knows it. */
  knownBy(holds: (sdkKey: SdkKey) => boolean): void {
    this.#holders.push(holds);
  }

  /** Upstream took events of the key. */
  delivered(sdkKey: SdkKey): void {
    this.#delivered.set(sdkKey, true);
  }

  /** Upstream could not say whether there is such a key: it goes on counting as admitted, however long that lasts. */
  undecided(sdkKey: SdkKey): void {
    this.#passed.set(sdkKey, true);
  }

  allows(sdkKey: SdkKey): boolean {
    return this.#allowList.allows(sdkKey);
  }

  isKnown(sdkKey: SdkKey): boolean {
    return this.#holders.some((holds) => holds(sdkKey)) || this.#delivered.get(sdkKey) === true;
  }

  admit(sdkKey: SdkKey): Admission {
    if (!this.allows(sdkKey)) return { kind: "not_allowed" };
    if (this.#allowList.isGiven || this.isKnown(sdkKey) || this.#passed.has(sdkKey)) return ADMITTED;
    const retryAfterMs = this.#bucket.take();
    if (retryAfterMs !== undefined) return { kind: "throttled", retryAfterMs };
    this.#passed.set(sdkKey, true);
    return ADMITTED;
  }
}

const ADMITTED: Admission = { kind: "admitted" };
