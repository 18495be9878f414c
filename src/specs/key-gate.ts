import PQueue from "p-queue";
import { type Clock, within } from "../clock.ts";
import type { EmitAccessEvent } from "./access-events.ts";
import type { Admission, KeyAdmission, Throttled } from "./key-admission.ts";
import type { SdkKey } from "./sdk-key.ts";

/** Why a key is not asked for. */
export type Refusal = { readonly kind: "unauthorized" } | Throttled;

/** Looks into the backup at once for so many keys that nobody knows, so that strangers do not keep it busy. */
const MAX_LOOK_UPS = 16;

/** Look-ups that may wait for a place. */
const MAX_WAITING = 1_000;

/** A backup that has not answered by then is taken for one that does not know the key. */
const LOOK_UP_MS = 3_000;

export interface KeyGateOptions {
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
      await within(clock, LOOK_UP_MS, lookedUp);
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
