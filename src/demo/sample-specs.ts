import { everyone } from "./sample-conditions.ts";
import type { Condition, EntityKind, IdType, JsonObject, Rule, Spec } from "./sample-model.ts";

interface RuleParts {
  readonly when?: readonly Condition[];
  readonly percent?: number;
  readonly idType?: IdType;
}

/** A rule that holds for everyone unless conditions are given. */
export function rule(name: string, returnValue: boolean | JsonObject, parts: RuleParts = {}): Rule {
  return {
    name,
    groupName: name,
    passPercentage: parts.percent ?? 100,
    conditions: parts.when ?? [everyone],
    returnValue,
    id: `rule_${name.replaceAll(" ", "_")}`,
    salt: `salt_of_${name.replaceAll(" ", "_")}`,
    idType: parts.idType ?? "userID",
  };
}

interface GateParts {
  readonly entity?: EntityKind;
  readonly enabled?: boolean;
  readonly idType?: IdType;
}

export function gate(name: string, rules: readonly Rule[], parts: GateParts = {}): Spec {
  return {
    name,
    type: "feature_gate",
    entity: parts.entity ?? "feature_gate",
    salt: `salt_of_${name}`,
    enabled: parts.enabled ?? true,
    defaultValue: false,
    rules,
    idType: parts.idType ?? "userID",
    version: 1,
  };
}

export function dynamicConfig(name: string, defaultValue: JsonObject, rules: readonly Rule[] = []): Spec {
  return {
    name,
    type: "dynamic_config",
    entity: "dynamic_config",
    salt: `salt_of_${name}`,
    enabled: true,
    defaultValue,
    rules,
    idType: "userID",
    version: 1,
  };
}
