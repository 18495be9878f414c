import type { Condition, ConditionKind, ConditionOperator, IdType, Json } from "./sample-model.ts";

function condition(type: ConditionKind, parts: Partial<Condition> = {}): Condition {
  return {
    type,
    targetValue: null,
    operator: null,
    field: null,
    additionalValues: {},
    idType: "userID",
    ...parts,
  };
}

export const everyone = condition("public");

export function userField(field: string, operator: ConditionOperator, targetValue: Json): Condition {
  return condition("user_field", { field, operator, targetValue });
}

export function browser(field: "os_name" | "browser_name", names: readonly string[]): Condition {
  return condition("ua_based", { field, operator: "any", targetValue: names });
}

export function tier(names: readonly string[]): Condition {
  return condition("environment_field", { field: "tier", operator: "any", targetValue: names });
}

export function now(operator: "before" | "after", timeMs: number): Condition {
  return condition("current_time", { operator, targetValue: timeMs });
}

export function passes(gate: string): Condition {
  return condition("pass_gate", { targetValue: gate });
}

export function fails(gate: string): Condition {
  return condition("fail_gate", { targetValue: gate });
}

export function unitIn(ids: readonly string[], idType: IdType = "userID"): Condition {
  return condition("unit_id", { operator: "any", targetValue: ids, idType });
}

export function unitInList(list: string, idType: IdType): Condition {
  return condition("unit_id", { operator: "in_segment_list", targetValue: list, idType });
}

/** Holds for users whose bucket (0 to 999, by the hash of salt and unit ID) is below the limit. */
export function bucketBelow(limit: number, salt: string, idType: IdType): Condition {
  return condition("user_bucket", {
    operator: "lt",
    targetValue: limit,
    additionalValues: { salt },
    idType,
  });
}

export function bucketAmong(
  operator: "any" | "none",
  buckets: readonly number[],
  salt: string,
  idType: IdType,
): Condition {
  return condition("user_bucket", { operator, targetValue: buckets, additionalValues: { salt }, idType });
}
