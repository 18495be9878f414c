import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type AnyValueSchema,
  ConditionSchema,
  ConditionType,
  EntityType,
  type IdTypeSchema,
  KnownIdType,
  Operator,
  type ReturnValueSchema,
  type RuleSchema,
  SpecSchema,
} from "../gen/statsig_config_specs_pb.ts";
import type {
  Condition,
  ConditionKind,
  ConditionOperator,
  EntityKind,
  IdType,
  Json,
  JsonObject,
  Rule,
  Spec,
} from "./sample-model.ts";
import { conditionName } from "./shared-conditions.ts";

/** Both enums name in upper case what the JSON shapes name in lower case. */
function upperCase<Name extends string>(name: Name): Uppercase<Name> {
  return name.toUpperCase() as Uppercase<Name>;
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function idType(type: IdType): MessageInitShape<typeof IdTypeSchema> {
  switch (type) {
    case "userID":
      return { idType: { case: "knownIdType", value: KnownIdType.USER_ID } };
    case "stableID":
      return { idType: { case: "knownIdType", value: KnownIdType.STABLE_ID } };
    case "companyID":
      return { idType: { case: "customIdType", value: type } };
  }
}

function returnValue(value: boolean | JsonObject): MessageInitShape<typeof ReturnValueSchema> {
  return typeof value === "boolean"
    ? { value: { case: "boolValue", value } }
    : { value: { case: "rawValue", value: json(value) } };
}

function anyValue(value: Json): MessageInitShape<typeof AnyValueSchema> {
  switch (typeof value) {
    case "string":
      return { value: { case: "stringValue", value } };
    case "boolean":
      return { value: { case: "boolValue", value } };
    case "number":
      return Number.isInteger(value)
        ? { value: { case: "int64Value", value: BigInt(value) } }
        : { value: { case: "doubleValue", value } };
    default:
      return { value: { case: "rawValue", value: json(value) } };
  }
}

function ruleMessage(rule: Rule): MessageInitShape<typeof RuleSchema> {
  return {
    name: rule.name,
    passPercentage: Math.floor(rule.passPercentage),
    passPercentageFloat: rule.passPercentage,
    id: rule.id,
    salt: rule.salt,
    conditions: rule.conditions.map(conditionName),
    idType: idType(rule.idType),
    returnValue: returnValue(rule.returnValue),
    groupName: rule.groupName,
    configDelegate: rule.configDelegate,
    isExperimentGroup: rule.isExperimentGroup,
  };
}

export function specBytes(spec: Spec): Uint8Array {
  const message = create(SpecSchema, {
    salt: spec.salt,
    enabled: spec.enabled,
    defaultValue: returnValue(spec.defaultValue),
    entity: EntityType[upperCase<EntityKind>(spec.entity)],
    idType: idType(spec.idType),
    version: spec.version,
    rules: spec.rules.map(ruleMessage),
    isActive: spec.isActive,
    explicitParameters: [...(spec.explicitParameters ?? [])],
    hasSharedParams: spec.hasSharedParams,
  });
  return toBinary(SpecSchema, message);
}

export function conditionBytes(condition: Condition): Uint8Array {
  const { operator, targetValue } = condition;
  const message = create(ConditionSchema, {
    conditionType: ConditionType[upperCase<ConditionKind>(condition.type)],
    idType: idType(condition.idType),
    targetValue: targetValue === null ? undefined : anyValue(targetValue),
    operator: operator === null ? undefined : Operator[upperCase<ConditionOperator>(operator)],
    field: condition.field ?? undefined,
    additionalValues: json(condition.additionalValues),
  });
  return toBinary(ConditionSchema, message);
}
