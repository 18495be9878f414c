import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
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
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
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
  SampleProject,
  Spec,
} from "./model.ts";
import { conditionName, contentChecksum, experimentToLayer, sharedConditions } from "./rules.ts";

export type JsonCoding = "br" | "gzip" | "identity";

const compressionLevel = 4;

/** One revision of the sample project for one SDK key. Each body is rendered on its first use and then cached. */
export class RenderedRevision {
  readonly project: SampleProject;
  readonly #sdkKey: string;
  readonly #bodies = new Map<string, Buffer>();

  constructor(project: SampleProject, sdkKey: string) {
    this.project = project;
    this.#sdkKey = sdkKey;
  }

  proto(): Buffer {
    return this.#cached("proto", () => renderProto(this.project, this.#sdkKey));
  }

  json(shape: "v1" | "v2", coding: JsonCoding): Buffer {
    return this.#cached(`${shape} ${coding}`, () => {
      switch (coding) {
        case "identity":
          return Buffer.from((shape === "v1" ? renderV1 : renderV2)(this.project, this.#sdkKey));
        case "gzip":
          return gzipSync(this.json(shape, "identity"), { level: compressionLevel });
        case "br": {
          const params = { [constants.BROTLI_PARAM_QUALITY]: compressionLevel };
          return brotliCompressSync(this.json(shape, "identity"), { params });
        }
      }
    });
  }

  #cached(name: string, make: () => Buffer): Buffer {
    const made = this.#bodies.get(name) ?? make();
    this.#bodies.set(name, made);
    return made;
  }
}

/** Renders v1: entities in arrays, each rule with its conditions inline. */
function renderV1(project: SampleProject, sdkKey: string): string {
  return JSON.stringify({
    dynamic_configs: project.configs,
    feature_gates: project.gates,
    layer_configs: project.layers,
    layers: project.layerExperiments,
    param_stores: project.paramStores,
    has_updates: true,
    time: project.timeMs,
    checksum: project.checksum,
    company_id: project.companyId,
    id_lists: Object.fromEntries(project.idLists.map((name) => [name, true])),
    diagnostics: {},
    sdk_flags: {},
    sdk_configs: {},
    hashed_sdk_key_used: hashedSdkKey(sdkKey),
  });
}

function byName(specs: readonly Spec[]) {
  return Object.fromEntries(
    specs.map(({ name, ...spec }) => {
      const rules = spec.rules.map((rule) => ({ ...rule, conditions: rule.conditions.map(conditionName) }));
      return [name, { ...spec, rules }];
    }),
  );
}

/** The top-level fields that are JSON in protobuf as well. */
function v2Rest(project: SampleProject, sdkKey: string) {
  return {
    experiment_to_layer: experimentToLayer(project),
    id_lists: Object.fromEntries(project.idLists.map((name) => [name, true])),
    diagnostics: {},
    sdk_flags: {},
    sdk_configs: {},
    hashed_sdk_key_used: hashedSdkKey(sdkKey),
  };
}

/** Renders v2: entities by name, whose rules refer to conditions of a shared map. */
function renderV2(project: SampleProject, sdkKey: string): string {
  return JSON.stringify({
    dynamic_configs: byName(project.configs),
    feature_gates: byName(project.gates),
    layer_configs: byName(project.layers),
    condition_map: Object.fromEntries(sharedConditions(project)),
    param_stores: project.paramStores,
    has_updates: true,
    time: project.timeMs,
    checksum: project.checksum,
    company_id: project.companyId,
    response_format: "dcs-v2",
    ...v2Rest(project, sdkKey),
  });
}

const protoCompressionLevel = 5;

function envelope(kind: SpecsEnvelopeKind, name: string, data: Uint8Array): Uint8Array {
  const message = create(SpecsEnvelopeSchema, { kind, name, checksum: contentChecksum(data), data });
  return sizeDelimitedEncode(SpecsEnvelopeSchema, message);
}

function specEnvelopes(kind: SpecsEnvelopeKind, specs: readonly Spec[]): readonly Uint8Array[] {
  return specs.map((spec) => envelope(kind, spec.name, specBytes(spec)));
}

function topLevel(project: SampleProject, sdkKey: string): Uint8Array {
  const message = create(SpecsTopLevelSchema, {
    hasUpdates: true,
    time: BigInt(project.timeMs),
    companyId: project.companyId,
    responseFormat: "dcs-v2",
    checksum: project.checksum,
    rest: new TextEncoder().encode(JSON.stringify(v2Rest(project, sdkKey))),
  });
  return toBinary(SpecsTopLevelSchema, message);
}

/** Renders "statsig-br": size-delimited envelopes, ending with DONE, compressed with brotli. */
function renderProto(project: SampleProject, sdkKey: string): Buffer {
  const envelopes = [
    envelope(SpecsEnvelopeKind.TOP_LEVEL, "", topLevel(project, sdkKey)),
    ...specEnvelopes(SpecsEnvelopeKind.FEATURE_GATE, project.gates),
    ...specEnvelopes(SpecsEnvelopeKind.DYNAMIC_CONFIG, project.configs),
    ...specEnvelopes(SpecsEnvelopeKind.LAYER_CONFIG, project.layers),
    ...Object.entries(project.paramStores).map(([name, store]) =>
      envelope(SpecsEnvelopeKind.PARAM_STORE, name, new TextEncoder().encode(JSON.stringify(store))),
    ),
    ...[...sharedConditions(project)].map(([name, condition]) =>
      envelope(SpecsEnvelopeKind.CONDITION, name, conditionBytes(condition)),
    ),
    sizeDelimitedEncode(SpecsEnvelopeSchema, create(SpecsEnvelopeSchema, { kind: SpecsEnvelopeKind.DONE })),
  ];
  const params = { [constants.BROTLI_PARAM_QUALITY]: protoCompressionLevel };
  return brotliCompressSync(Buffer.concat(envelopes), { params });
}

/** The protobuf enums have the names of JSON in upper case. */
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

function specBytes(spec: Spec): Uint8Array {
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

function conditionBytes(condition: Condition): Uint8Array {
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

/**
 * The djb2 hash that Statsig writes into a payload as `hashed_sdk_key_used`, by which SDKs refuse
 * specs that were made for another key.
 */
function hashedSdkKey(sdkKey: string): string {
  let hash = 0;
  for (let index = 0; index < sdkKey.length; index++) {
    hash = ((hash << 5) - hash + sdkKey.charCodeAt(index)) | 0;
  }
  return String(hash >>> 0);
}
