import { createHash } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  ConditionSchema,
  ConditionType,
  EntityType,
  type IdTypeSchema,
  KnownIdType,
  Operator,
  type Rule,
  RuleSchema,
  SpecSchema,
  SpecsEnvelopeKind,
} from "../../../src/gen/statsig_config_specs_pb.ts";

export const ENTITY_KINDS = ["gate", "config", "experiment", "layer", "param_store", "condition"] as const;
export type EntityKind = (typeof ENTITY_KINDS)[number];

/** An entity of a project. All that it contains follows from these three. */
export interface Entity {
  readonly kind: EntityKind;
  readonly name: string;
  /** A change of the entity is another number. */
  readonly content: number;
}

/** An experiment is sent as a dynamic config. */
export const ENVELOPE_KINDS: Readonly<Record<EntityKind, SpecsEnvelopeKind>> = {
  gate: SpecsEnvelopeKind.FEATURE_GATE,
  config: SpecsEnvelopeKind.DYNAMIC_CONFIG,
  experiment: SpecsEnvelopeKind.DYNAMIC_CONFIG,
  layer: SpecsEnvelopeKind.LAYER_CONFIG,
  param_store: SpecsEnvelopeKind.PARAM_STORE,
  condition: SpecsEnvelopeKind.CONDITION,
};

/** Rules refer to entities of the numbers below this one, whether or not the project has them. */
const REFERRED_NAMES = 8;

export const entityName = (kind: EntityKind, number: number): string => `${kind}_${number}`;

/** Returns the `data` of the entity's envelope, valid for SDKs. */
export function encodeEntity(entity: Entity): Uint8Array {
  const { kind } = entity;
  if (kind === "param_store") return Buffer.from(JSON.stringify(paramStore(entity)));
  if (kind === "condition") return toBinary(ConditionSchema, create(ConditionSchema, condition(entity)));
  return toBinary(SpecSchema, create(SpecSchema, spec(entity)));
}

/** Returns the SHA-256 digest of the entity, which serves as its random source. */
const digestOf = ({ kind, name, content }: Entity): Buffer =>
  createHash("sha256").update(`${kind} ${name} ${content}`).digest();

type IdType = MessageInitShape<typeof IdTypeSchema>;
const USER_ID: IdType = { idType: { case: "knownIdType", value: KnownIdType.USER_ID } };
const COMPANY_ID: IdType = { idType: { case: "customIdType", value: "companyID" } };

const rawValue = (value: unknown) => ({
  value: { case: "rawValue" as const, value: Buffer.from(JSON.stringify(value)) },
});
const boolValue = (value: boolean) => ({ value: { case: "boolValue" as const, value } });

const referTo = (kind: EntityKind, byte: number | undefined): string =>
  entityName(kind, (byte ?? 0) % REFERRED_NAMES);

function spec(entity: Entity): MessageInitShape<typeof SpecSchema> {
  const digest = digestOf(entity);
  const text = digest.toString("base64");
  const common = {
    salt: text.slice(0, 22),
    enabled: (digest[0] ?? 0) % 16 !== 0,
    idType: (digest[1] ?? 0) % 8 === 0 ? COMPANY_ID : USER_ID,
    version: entity.content % 1_000,
  };
  switch (entity.kind) {
    case "gate":
      return {
        ...common,
        entity: EntityType.FEATURE_GATE,
        defaultValue: boolValue(false),
        rules: [rule(entity, digest, 0, { returnValue: boolValue(true) })],
      };
    case "experiment":
      return {
        ...common,
        entity: EntityType.EXPERIMENT,
        isActive: true,
        explicitParameters: ["text", "number"],
        defaultValue: rawValue({ text: "default", number: 0 }),
        rules: ["control", "test"].map((groupName, at) =>
          rule(entity, digest, at, { returnValue: values(text, at), groupName, isExperimentGroup: true }),
        ),
      };
    case "layer":
      return {
        ...common,
        entity: EntityType.LAYER,
        defaultValue: rawValue({ text: "of the layer", number: -1 }),
        rules: [
          rule(entity, digest, 0, {
            returnValue: values(text, 2),
            configDelegate: referTo("experiment", digest[2]),
          }),
          rule(entity, digest, 1, { returnValue: values(text, 3) }),
        ],
      };
    default:
      return {
        ...common,
        entity: EntityType.DYNAMIC_CONFIG,
        defaultValue: rawValue({}),
        rules: [rule(entity, digest, 0, { returnValue: values(text, 0) })],
      };
  }
}

const values = (text: string, number: number) => rawValue({ text, number });

interface RuleParts {
  readonly returnValue: ReturnType<typeof rawValue> | ReturnType<typeof boolValue>;
  readonly groupName?: string;
  readonly configDelegate?: string;
  readonly isExperimentGroup?: boolean;
}

function rule({ name }: Entity, digest: Buffer, at: number, parts: RuleParts): Rule {
  const id = digest.toString("hex", 4 + 4 * at, 12 + 4 * at);
  const passPercentage = [100, 100, 50, 10][(digest[8 + at] ?? 0) % 4] ?? 100;
  return create(RuleSchema, {
    name: `${name} ${at}`,
    id,
    salt: id,
    passPercentage,
    passPercentageFloat: passPercentage,
    conditions: [referTo("condition", digest[12 + at])],
    idType: USER_ID,
    ...parts,
  });
}

function condition(entity: Entity): MessageInitShape<typeof ConditionSchema> {
  const digest = digestOf(entity);
  const kinds: readonly MessageInitShape<typeof ConditionSchema>[] = [
    { conditionType: ConditionType.PUBLIC, idType: USER_ID },
    {
      conditionType: ConditionType.USER_FIELD,
      idType: USER_ID,
      field: "email",
      operator: Operator.STR_CONTAINS_ANY,
      targetValue: { value: { case: "rawValue", value: Buffer.from('["@one.example","@two.example"]') } },
    },
    {
      conditionType: ConditionType.USER_BUCKET,
      idType: USER_ID,
      field: "bucket",
      operator: Operator.LT,
      targetValue: { value: { case: "doubleValue", value: 10 * (digest[1] ?? 0) } },
      additionalValues: Buffer.from(JSON.stringify({ salt: digest.toString("hex", 0, 8) })),
    },
    {
      conditionType: ConditionType.PASS_GATE,
      idType: USER_ID,
      targetValue: { value: { case: "stringValue", value: referTo("gate", digest[2]) } },
    },
  ];
  return kinds[(digest[0] ?? 0) % kinds.length] ?? {};
}

function paramStore(entity: Entity): object {
  const digest = digestOf(entity);
  const parameter = (name: string, param_type: string, more: object) => ({
    [name]: { name, param_type, ...more },
  });
  return {
    parameters: {
      ...parameter("static", "string", { ref_type: "static", value: digest.toString("base64") }),
      ...parameter("by_gate", "string", {
        ref_type: "gate",
        gate_name: referTo("gate", digest[0]),
        pass_value: "yes",
        fail_value: "no",
      }),
      ...parameter("by_config", "string", {
        ref_type: "dynamic_config",
        config_name: referTo("config", digest[1]),
        param_name: "text",
      }),
      ...parameter("by_layer", "number", {
        ref_type: "layer",
        layer_name: referTo("layer", digest[2]),
        param_name: "number",
      }),
    },
    targetAppIDs: [],
    version: entity.content,
  };
}
