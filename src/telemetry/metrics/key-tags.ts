import { maskSdkKey, type SdkKey } from "../../specs/sdk-key.ts";
import { UNKNOWN_KEY } from "./family.ts";

/** How SDK keys are told in tags: masked, and only those that the relay knows, since strangers make up any number. */
export class KeyTags {
  #knows: (sdkKey: SdkKey) => boolean = () => false;

  /** Set once that is known; until then all are strangers. */
  knownBy(knows: (sdkKey: SdkKey) => boolean): void {
    this.#knows = knows;
  }

  of(sdkKey: SdkKey | undefined): { readonly sdk_key: string } {
    return { sdk_key: sdkKey !== undefined && this.#knows(sdkKey) ? maskSdkKey(sdkKey) : UNKNOWN_KEY };
  }
}
