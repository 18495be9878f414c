import { expect } from "bun:test";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { toShared } from "../../src/platform/shared-bytes.ts";
import { evaluateGate } from "../../src/profiling/gate/evaluate.ts";
import { testsWith } from "../support/common/needs.ts";
import {
  GATE_KEY,
  gateOf,
  gateSpecs,
  hasCustomId,
  PROFILING_GATE,
} from "../support/profiling/gate-project.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { everyone, specV2 } from "../support/upstream/payloads.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

type Json = Record<string, unknown>;

const PODS = Array.from({ length: 40 }, (_, at) => `relay-7d9f8b-${at}`);

/** Returns a gate that is on for a part of the users that meet the condition, chosen by an ID. */
function rollout(name: string, { percent, by, condition = everyone }: Rollout): Json {
  const gate = gateOf(name, [condition]);
  const [rule] = gate["rules"] as Json[];
  return { ...gate, idType: by, rules: [{ ...rule, passPercentage: percent, idType: by }] };
}

interface Rollout {
  readonly percent: number;
  readonly by: string;
  readonly condition?: Json;
}

const SEGMENT = "segment:canaries";

/** Each is the gate of profiling, under a name of its own. Those for all relays, or for none, say so. */
const GATES: readonly { readonly gate: Json; readonly isSplit: boolean }[] = [
  { gate: rollout("half_of_the_pods", { percent: 50, by: "podID" }), isSplit: true },
  { gate: rollout("by_user_id", { percent: 50, by: "userID" }), isSplit: false },
  {
    gate: rollout("named", { percent: 100, by: "podID", condition: hasCustomId("podID", PODS.slice(5, 9)) }),
    isSplit: true,
  },
  {
    gate: rollout("of_a_segment", {
      ...{ percent: 70, by: "podID" },
      condition: { ...everyone, type: "pass_gate", targetValue: SEGMENT },
    }),
    isSplit: true,
  },
];

const segment = rollout(SEGMENT, { percent: 60, by: "podID" });

/** Returns the config specs of v2, whose gates refer to their conditions by name. */
function toV2(gates: readonly Json[]): object {
  const conditions: Record<string, unknown> = {};
  const renamed = gates.map((gate) => {
    const rules = (gate["rules"] as Json[]).map((rule) => {
      const named = (rule["conditions"] as Json[]).map(
        (each, at) => [`${gate["name"]}_${at}`, each] as const,
      );
      Object.assign(conditions, Object.fromEntries(named));
      return { ...rule, conditions: named.map(([name]) => name) };
    });
    return [String(gate["name"]), { ...gate, rules }] as const;
  });
  const specs = specV2({ lcut: Date.now(), sdkKey: GATE_KEY });
  return { ...specs, feature_gates: Object.fromEntries(renamed), condition_map: conditions };
}

testsWith("node").test(
  "the user of each relay gets what the SDK in Rust decides, which the original proxy has",
  async () => {
    await using upstream = await startUpstream();
    upstream.publish(GATE_KEY, "v2", toV2([...GATES.map(({ gate }) => gate), segment]));
    await using sdk = await startCoreSdk({ sdkKey: GATE_KEY, httpUrl: upstream.url });
    for (const { gate, isSplit } of GATES) {
      const specs = gateSpecs(1, [{ ...gate, name: PROFILING_GATE }, segment]);
      const bytes = toShared(Buffer.from(JSON.stringify(specs)));
      const sdkKey = GATE_KEY as SdkKey;
      const ours = await Promise.all(
        PODS.map((podID) => evaluateGate({ sdkKey, customIds: { podID }, bytes }).then(({ isOn }) => isOn)),
      );
      const name = String(gate["name"]);
      const theirs = await Promise.all(PODS.map((podID) => sdk.gateOfPod(name, podID)));
      expect([name, ours]).toEqual([name, theirs.map(({ value }) => value)]);
      expect([name, new Set(ours).size]).toEqual([name, isSplit ? 2 : 1]);
    }
  },
);
