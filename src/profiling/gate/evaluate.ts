import { type StatsigOptions, StatsigServer } from "statsig-node";
import type { SdkKey } from "../../access/sdk-key.ts";
import type { SharedBytes } from "../../platform/shared-bytes.ts";
import { findIdList } from "./id-list.ts";
import { GATE } from "./payload.ts";

export interface GateRequest {
  readonly sdkKey: SdkKey;
  /** The custom IDs of the user that the gate is evaluated for, by their names. */
  readonly customIds: Readonly<Record<string, string>>;
  /** Config specs, the JSON of v1. */
  readonly bytes: SharedBytes;
}

export interface GateVerdict {
  readonly isOn: boolean;
  /** The ID of the rule that decided; undefined if the payload has no such gate. */
  readonly rule: string | undefined;
  /** The name of an ID list that the gate depends on; undefined if there is none. No user is in it. */
  readonly idList: string | undefined;
}

const MENTION_OF_ID_LIST = "in_segment_list";

/** Nothing is fetched, sent or printed, and no timer is left. */
const OPTIONS: StatsigOptions = {
  localMode: true,
  disableDiagnostics: true,
  disableAllLogging: true,
  disableRulesetsSync: true,
  disableIdListsSync: true,
  initStrategyForIDLists: "none",
  // The user has no IP address.
  initStrategyForIP3Country: "none",
  networkOverrideFunc: () => Promise.reject(new Error("the SDK may not use the network")),
  logger: { warn: ignore, error: ignore, logLevel: "none" },
};

/**
 * Evaluates the gate with the SDK, which is made for this payload alone. Rejects if the SDK cannot read the payload. Takes 30 to 60 ms
 * for the first call of a thread, as the SDK is loaded, and 20 ms for 5 MB of config specs.
 */
export async function evaluateGate({ sdkKey, customIds, bytes }: GateRequest): Promise<GateVerdict> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  const sdk = new StatsigServer(sdkKey, { ...OPTIONS, bootstrapValues: text });
  await sdk.initializeAsync();
  const user = { customIDs: { ...customIds } };
  const gate = sdk.getFeatureGateWithExposureLoggingDisabledSync(user, GATE);
  switch (gate.evaluationDetails?.reason) {
    case "Bootstrap": {
      const idList = text.includes(MENTION_OF_ID_LIST) ? findIdList(JSON.parse(text), GATE) : undefined;
      return { isOn: gate.value, rule: gate.ruleID, idList };
    }
    case "Unrecognized":
      return { isOn: false, rule: undefined, idList: undefined };
    case "Unsupported":
      throw new Error("the gate has a condition that the SDK does not know");
    default:
      throw new Error("the SDK cannot read the config specs");
  }
}

function ignore(): void {}
