/** The part of config specs of v1 that gates depend on. Segments are gates, too. */
interface Specs {
  readonly feature_gates: readonly GateSpec[];
}

interface GateSpec {
  readonly name: string;
  readonly rules: readonly { readonly conditions?: readonly Condition[] }[];
}

interface Condition {
  readonly type: string;
  readonly operator?: string | null;
  /** Names a gate or segment, several, or an ID list, depending on the type and the operator. */
  readonly targetValue?: unknown;
}

const LIST_OPERATORS: readonly unknown[] = ["in_segment_list", "not_in_segment_list"];

const GATE_CONDITIONS = ["pass_gate", "fail_gate", "multi_pass_gate", "multi_fail_gate"];

/**
 * Returns the name of an ID list that a gate depends on, itself or through other gates and segments; undefined if there is none. The SDK
 * must have read the config specs, which proves their structure.
 */
export function findIdList(specs: Specs, gate: string): string | undefined {
  const gates = new Map(specs.feature_gates.map((spec) => [spec.name, spec]));
  const names = new Set([gate]);
  // A Set also yields what is added meanwhile, each name once.
  for (const name of names) {
    const conditions = gates.get(name)?.rules.flatMap((rule) => rule.conditions ?? []) ?? [];
    for (const { type, operator, targetValue } of conditions) {
      if (LIST_OPERATORS.includes(operator)) return String(targetValue);
      if (GATE_CONDITIONS.includes(type.toLowerCase()))
        for (const target of [targetValue].flat()) names.add(String(target));
    }
  }
  return undefined;
}
