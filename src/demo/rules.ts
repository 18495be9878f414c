import { createHash } from "node:crypto";
import type {
  Condition,
  ConditionKind,
  ConditionOperator,
  EntityKind,
  IdType,
  Json,
  JsonObject,
  Rule,
  SampleProject,
  Spec,
} from "./model.ts";

interface RuleParts {
  readonly when?: readonly Condition[];
  readonly percent?: number;
  readonly idType?: IdType;
}

/** Without conditions, the rule matches every user. */
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

const everyone = condition("public");

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

/** Matches users whose bucket, 0 to 999 by the hash of salt and unit ID, is below the limit. */
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

/** Returns a checksum in its wire format: 32 bits as a decimal number. */
export function contentChecksum(content: string | Uint8Array): string {
  return String(createHash("sha256").update(content).digest().readUInt32BE());
}

/** Rules of v2 and protobuf refer to conditions by name, so that equal conditions are sent once. */
export function conditionName(condition: Condition): string {
  return contentChecksum(JSON.stringify(condition));
}

export function sharedConditions(project: SampleProject): ReadonlyMap<string, Condition> {
  const specs = [...project.gates, ...project.configs, ...project.layers];
  const conditions = specs.flatMap(({ rules }) => rules).flatMap((rule) => rule.conditions);
  return new Map(conditions.map((condition) => [conditionName(condition), condition]));
}

export function experimentToLayer(project: SampleProject): { [experiment: string]: string } {
  return Object.fromEntries(
    Object.entries(project.layerExperiments).flatMap(([layer, experiments]) =>
      experiments.map((experiment) => [experiment, layer]),
    ),
  );
}
