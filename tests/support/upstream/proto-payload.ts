import { brotliCompressSync } from "node:zlib";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import {
  ConditionSchema,
  ConditionType,
  EntityType,
  type IdTypeSchema,
  KnownIdType,
  SpecSchema,
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
} from "../../../src/gen/statsig_config_specs_pb.ts";
import { djb2, type SpecOptions } from "./payloads.ts";

const userId: MessageInitShape<typeof IdTypeSchema> = {
  idType: { case: "knownIdType", value: KnownIdType.USER_ID },
};

const json = (value: unknown) => ({ case: "rawValue" as const, value: Buffer.from(JSON.stringify(value)) });
const bool = (value: boolean) => ({ case: "boolValue" as const, value });

function envelope<D extends DescMessage>(
  kind: SpecsEnvelopeKind,
  name: string,
  schema: D,
  init: MessageInitShape<D>,
): Uint8Array {
  const data = toBinary(schema, create(schema, init));
  const checksum = djb2(Buffer.from(data).toString("latin1"));
  return sizeDelimitedEncode(
    SpecsEnvelopeSchema,
    create(SpecsEnvelopeSchema, { kind, name, checksum, data }),
  );
}

const done = sizeDelimitedEncode(
  SpecsEnvelopeSchema,
  create(SpecsEnvelopeSchema, { kind: SpecsEnvelopeKind.DONE }),
);

type Value = ReturnType<typeof json> | ReturnType<typeof bool>;

const spec = (
  entity: EntityType,
  salt: string,
  passPercentage: number,
  value: Value,
  defaultValue: Value,
) => ({
  salt,
  enabled: true,
  defaultValue: { value: defaultValue },
  entity,
  idType: userId,
  version: 1,
  rules: [
    {
      name: "everyone",
      groupName: "everyone",
      id: `rule_${salt}`,
      salt: `rule_salt_${salt}`,
      passPercentage,
      passPercentageFloat: passPercentage,
      conditions: ["everyone"],
      idType: userId,
      returnValue: { value },
    },
  ],
});

const topLevel = ({ lcut, sdkKey, checksum = djb2(`checksum of ${lcut}`) }: SpecOptions) => ({
  hasUpdates: true,
  time: BigInt(lcut),
  companyId: "company",
  responseFormat: "dcs-v2",
  checksum,
  rest: Buffer.from(
    JSON.stringify({
      id_lists: {},
      diagnostics: {},
      sdk_flags: {},
      sdk_configs: {},
      experiment_to_layer: {},
      ...(sdkKey === undefined ? {} : { hashed_sdk_key_used: djb2(sdkKey) }),
    }),
  ),
});

/** Returns the envelopes of the same project as `specV2`, before brotli; on request without DONE, as if truncated. */
export function specEnvelopes(options: SpecOptions, { withDone = true } = {}): Uint8Array {
  const { gateValue = true, color = "blue" } = options;
  const kind = SpecsEnvelopeKind;
  const gate = spec(EntityType.FEATURE_GATE, "gate_public", gateValue ? 100 : 0, bool(true), bool(false));
  const config = spec(
    EntityType.DYNAMIC_CONFIG,
    "config_public",
    100,
    json({ color }),
    json({ color: "default" }),
  );
  const condition = { conditionType: ConditionType.PUBLIC, idType: userId };
  return Buffer.concat([
    envelope(kind.TOP_LEVEL, "", SpecsTopLevelSchema, topLevel(options)),
    envelope(kind.CONDITION, "everyone", ConditionSchema, condition),
    envelope(kind.FEATURE_GATE, "gate_public", SpecSchema, gate),
    envelope(kind.DYNAMIC_CONFIG, "config_public", SpecSchema, config),
    ...(withDone ? [done] : []),
  ]);
}

/** Returns a complete `statsig-br` body. */
export const specProto = (options: SpecOptions): Uint8Array => brotliCompressSync(specEnvelopes(options));
