import { LRUCache } from "lru-cache";
import PQueue from "p-queue";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { TokenBucket } from "../platform/token-bucket.ts";
import type { AllowList } from "./allow-list.ts";
import type { EmitAccessEvent } from "./events.ts";
import type { SdkKey } from "./sdk-key.ts";

export interface Throttled {
  readonly kind: "throttled";
  readonly retryAfterMs: number;
}

type Admission = { readonly kind: "admitted" } | { readonly kind: "not_allowed" } | Throttled;

/** A client that starts requests several feeds of a key, and its ID lists, within this time: all of that is one admission. */
const ADMISSION_TTL_MS = 30_000;

interface KeyAdmissionOptions {
  readonly allowList: AllowList;
  /** Burst of unknown keys: as many as can be held, so that all their clients may start at the same time. */
  readonly maxKeys: number;
  readonly unknownKeysPerS: number;
  readonly clock: Clock;
}

/**
 * Decides which keys upstream may be asked for: those of the allow-list; without one, all known keys and a limited rate of
 * unknown ones.
 */
export class KeyAdmission {
  readonly #allowList: AllowList;
  readonly #bucket: TokenBucket;
  readonly #admitted: LRUCache<SdkKey, true>;
  readonly #accepted: LRUCache<SdkKey, true>;
  readonly #holders: ((sdkKey: SdkKey) => boolean)[] = [];

  constructor({ allowList, maxKeys, unknownKeysPerS, clock }: KeyAdmissionOptions) {
    this.#allowList = allowList;
    this.#bucket = new TokenBucket({ capacity: maxKeys, refillPerS: unknownKeysPerS, clock });
    const perf = { now: () => clock.elapsed() };
    // Sized so that a full bucket of unknown keys cannot evict keys whose first fetch is pending.
    this.#admitted = new LRUCache({ max: 2 * maxKeys, ttl: ADMISSION_TTL_MS, perf, ttlResolution: 0 });
    this.#accepted = new LRUCache({ max: maxKeys });
  }

  /** Changes the rate of unknown keys. */
  admitUnknown(keysPerS: number): void {
    this.#bucket.setRefillPerS(keysPerS);
  }

  /** Adds a source of known keys: a key is known if any of them holds data of it. */
  knownBy(holds: (sdkKey: SdkKey) => boolean): void {
    this.#holders.push(holds);
  }

  /** Upstream accepted log events of the key, so it is valid. */
  accepted(sdkKey: SdkKey): void {
    this.#accepted.set(sdkKey, true);
  }

  /** Upstream has failed, so it is unknown whether the key is valid: it stays admitted until upstream has recovered. */
  undecided(sdkKey: SdkKey): void {
    this.#admitted.set(sdkKey, true);
  }

  allows(sdkKey: SdkKey): boolean {
    return this.#allowList.allows(sdkKey);
  }

  /** Whether the key is allowed, and in use: anything holds data of it, or upstream has accepted its log events. */
  isKnown(sdkKey: SdkKey): boolean {
    if (!this.allows(sdkKey)) return false;
    return this.#holders.some((holds) => holds(sdkKey)) || this.#accepted.get(sdkKey) === true;
  }

  admit(sdkKey: SdkKey): Admission {
    if (!this.allows(sdkKey)) return { kind: "not_allowed" };
    if (this.#allowList.isGiven || this.isKnown(sdkKey) || this.#admitted.has(sdkKey)) return ADMITTED;
    const retryAfterMs = this.#bucket.take();
    if (retryAfterMs !== undefined) return { kind: "throttled", retryAfterMs };
    this.#admitted.set(sdkKey, true);
    return ADMITTED;
  }
}

const ADMITTED: Admission = { kind: "admitted" };

/** Why upstream is not asked for a key. */
export type Refusal = { readonly kind: "unauthorized" } | Throttled;

/** Limit of concurrent backup lookups of unknown keys, so that clients that make up keys do not keep the backup busy. */
const MAX_LOOKUPS = 16;

/** Limit of lookups that wait. */
const MAX_WAITING = 1_000;

/** After this time, the key counts as missing in the backup. */
const LOOKUP_TIMEOUT_MS = 3_000;

interface KeyGateOptions {
  readonly admission: KeyAdmission;
  readonly clock: Clock;
  readonly emit: EmitAccessEvent;
}

/** Admits or refuses requests for keys that are not held, on every route. */
export class KeyGate {
  readonly #options: KeyGateOptions;
  readonly #lookups = new PQueue({ concurrency: MAX_LOOKUPS });

  constructor(options: KeyGateOptions) {
    this.#options = options;
  }

  allows(sdkKey: SdkKey): boolean {
    return this.#options.admission.allows(sdkKey);
  }

  /** As {@link KeyAdmission.undecided}. */
  undecided(sdkKey: SdkKey): void {
    this.#options.admission.undecided(sdkKey);
  }

  /** Returns why upstream may not be asked for the key; undefined if it may. */
  refusalNow(sdkKey: SdkKey): Refusal | undefined {
    return this.#toRefusal(this.#options.admission.admit(sdkKey));
  }

  /**
   * As {@link refusalNow}, but looks an unknown key up in the backup before it is refused. `lookup` brings what the backup has
   * into memory.
   */
  async refusal(sdkKey: SdkKey, lookup?: () => Promise<unknown>): Promise<Refusal | undefined> {
    const { admission, clock } = this.#options;
    const admitted = admission.admit(sdkKey);
    if (admitted.kind === "throttled" && lookup !== undefined && this.#lookups.size < MAX_WAITING) {
      const lookedUp = this.#lookups.add(async () => {
        if (!admission.isKnown(sdkKey)) await lookup();
      });
      await withTimeout(lookedUp, LOOKUP_TIMEOUT_MS, clock);
      if (admission.isKnown(sdkKey)) return undefined;
    }
    return this.#toRefusal(admitted);
  }

  #toRefusal(admission: Admission): Refusal | undefined {
    if (admission.kind === "admitted") return undefined;
    this.#options.emit({ kind: "key_refused", reason: admission.kind });
    return admission.kind === "throttled" ? admission : { kind: "unauthorized" };
  }
}
