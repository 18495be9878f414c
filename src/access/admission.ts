import { LRUCache } from "lru-cache";
import PQueue from "p-queue";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { TokenBucket } from "../platform/token-bucket.ts";
import type { AllowList } from "./allow-list.ts";
import type { SdkKey } from "./sdk-key.ts";

export interface Throttled {
  readonly kind: "throttled";
  readonly retryAfterMs: number;
}

type Admission = { readonly kind: "admitted" } | { readonly kind: "not_allowed" } | Throttled;

/** A cold start asks for several feeds of a key, and its ID lists, within so long: all of that is one admission. */
const PASS_TTL_MS = 30_000;

interface KeyAdmissionOptions {
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
    this.#bucket.setRefillPerS(keysPerS);
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

/** Why a key is not asked for. */
export type Refusal = { readonly kind: "unauthorized" } | Throttled;

/** Looks into the backup at once for so many keys that nobody knows, so that strangers do not keep it busy. */
const MAX_LOOK_UPS = 16;

/** Look-ups that may wait for a place. */
const MAX_WAITING = 1_000;

/** A backup that has not answered by then is taken for one that does not know the key. */
const LOOK_UP_MS = 3_000;

interface KeyGateOptions {
  readonly admission: KeyAdmission;
  readonly clock: Clock;
  readonly emit: EmitAccessEvent;
}

/** Where first requests of all kinds pass, or are turned away. */
export class KeyGate {
  readonly #options: KeyGateOptions;
  readonly #lookUps = new PQueue({ concurrency: MAX_LOOK_UPS });

  constructor(options: KeyGateOptions) {
    this.#options = options;
  }

  allows(sdkKey: SdkKey): boolean {
    return this.#options.admission.allows(sdkKey);
  }

  /** Upstream could not say whether there is a key that was let through. */
  undecided(sdkKey: SdkKey): void {
    this.#options.admission.undecided(sdkKey);
  }

  /** Undefined where the key may be asked for. */
  refusalNow(sdkKey: SdkKey): Refusal | undefined {
    return this.#refusalFor(this.#options.admission.admit(sdkKey));
  }

  /**
   * Undefined where the key may be asked for. One that is not known is looked for in the backup before it is turned
   * away: `lookUp` brings what there is into memory.
   */
  async refusal(sdkKey: SdkKey, lookUp?: () => Promise<unknown>): Promise<Refusal | undefined> {
    const { admission, clock } = this.#options;
    const admitted = admission.admit(sdkKey);
    if (admitted.kind === "throttled" && lookUp !== undefined && this.#lookUps.size < MAX_WAITING) {
      const lookedUp = this.#lookUps.add(async () => {
        if (!admission.isKnown(sdkKey)) await lookUp();
      });
      await withTimeout(lookedUp, LOOK_UP_MS, clock);
      if (admission.isKnown(sdkKey)) return undefined;
    }
    return this.#refusalFor(admitted);
  }

  #refusalFor(admission: Admission): Refusal | undefined {
    if (admission.kind === "admitted") return undefined;
    this.#options.emit({ kind: "key_refused", reason: admission.kind });
    return admission.kind === "throttled" ? admission : { kind: "unauthorized" };
  }
}

/** What happens to those who ask, and to the list of those who may. SDK keys are not told: most are strangers'. */
export type AccessEvent =
  /** A request was turned away before anything was asked for it. */
  | { readonly kind: "key_refused"; readonly reason: "not_allowed" | "throttled" }
  /** A changed list of allowed keys was taken over. */
  | { readonly kind: "allowed_keys_reloaded"; readonly keys: number; readonly removed: number }
  /** A changed list can't be used; the one before goes on. */
  | { readonly kind: "allowed_keys_refused"; readonly detail: string };

export type EmitAccessEvent = (event: AccessEvent) => void;
