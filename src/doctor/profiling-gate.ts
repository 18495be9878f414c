import type { Config } from "../config/config.ts";
import { GateEvaluator } from "../profiling/gate/evaluator.ts";
import { GATE, toGateFeed } from "../profiling/gate/payload.ts";
import type { SpecPreparer } from "../specs/payload/preparer.ts";
import type { SpecSource } from "../specs/source.ts";
import { type Check, type CheckResult, ok, skipped, warning } from "./check.ts";
import { findPayload } from "./sdk-keys.ts";

interface GateToCheck extends Pick<Config["profiling"], "gate"> {
  readonly source: SpecSource;
  readonly openPreparer: () => SpecPreparer;
}

/**
 * Evaluates the gate that turns profiling on and off, for the user that a relay with the same environment is. A problem is a warning,
 * since the relay works without it.
 */
export function profilingGateCheck({ gate, source, openPreparer }: GateToCheck): Check {
  return {
    name: "profiling gate",
    run: async (signal) => {
      if (gate === undefined)
        return [skipped("no gate decides: STATSIG_SERVER_SDK_KEY is not set, or profiling is forced")];
      await using preparer = openPreparer();
      const found = await findPayload(toGateFeed(gate.sdkKey), { source, preparer, signal });
      if ("detail" in found) return [warning(found.detail, found.fix)];
      return [await evaluate({ ...gate, bytes: found.bytes })];
    },
  };
}

async function evaluate(request: Parameters<GateEvaluator["evaluate"]>[0]): Promise<CheckResult> {
  await using evaluator = new GateEvaluator();
  try {
    const { isOn, rule, idList } = await evaluator.evaluate(request);
    if (rule === undefined) return ok(`the project has no gate ${GATE}: profiling is off`);
    const decided = `${GATE} turns profiling ${isOn ? "on" : "off"} here, by the rule ${rule}`;
    if (idList === undefined) return ok(decided);
    return warning(`${decided}; it uses the ID list ${idList}, in which no relay is`, NO_LISTS);
  } catch (error) {
    return warning(`${GATE} cannot be evaluated: ${(error as Error).message}`, CORRECT);
  }
}

const NO_LISTS = "name the custom IDs in the rule, or in a rule-based segment";
const CORRECT = "correct the gate in the Statsig console";
