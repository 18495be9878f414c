import { createHash } from "node:crypto";
import { brotliCompressSync, constants } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
} from "../../../src/gen/statsig_config_specs_pb.ts";
import { ENVELOPE_KINDS, type Entity, encodeEntity } from "./project-entities.ts";
import { FIELDS, readEnvelopes, readSums, sumOfChecksums } from "./sdk-specs.ts";

/** How the checksums of entities are made from their data. */
export const CHECKSUM_STYLES = [
  /** As upstream sends them today. */
  "base64",
  /** 32-bit numbers, which clients add up. */
  "u32",
  /** Numbers of 32 bits or nearly so, written in all ways. */
  "odd",
  /** The same whatever the data: clients keep the data that they have. */
  "stale",
  "none",
] as const;
export type ChecksumStyle = (typeof CHECKSUM_STYLES)[number];

/** What a payload may have besides a project. */
export const ODDITIES = [
  "unknown_kind",
  "duplicate_name",
  "no_data",
  "unknown_field",
  "checksums",
  "deletions",
  "entity_first",
  "second_top_level",
] as const;
export type Oddity = (typeof ODDITIES)[number];

/** One version of a project. */
export interface ProjectVersion {
  /** The `time` of the payload, ms since the Unix epoch. */
  readonly time: number;
  /** The `checksum` of the payload; empty if it has none. */
  readonly checksum: string;
  /** The other top-level fields. SDKs require `experiment_to_layer`. */
  readonly rest: Readonly<Record<string, unknown>>;
  readonly companyId: string;
  readonly entities: readonly Entity[];
  readonly checksumStyle: ChecksumStyle;
  readonly oddity?: Oddity | undefined;
}

export interface EnvelopeInit {
  readonly kind: SpecsEnvelopeKind;
  readonly name?: string;
  readonly checksum?: string;
  readonly data?: Uint8Array;
}

/** Returns the envelopes of a version, before brotli. */
export function encodeVersion(version: ProjectVersion): Uint8Array {
  const { oddity } = version;
  const topLevel = encodeEnvelope({ kind: SpecsEnvelopeKind.TOP_LEVEL, data: encodeTopLevel(version) });
  const entities = version.entities.map((entity) => encodeEntityEnvelope(entity, version.checksumStyle));
  const done = encodeEnvelope({ kind: SpecsEnvelopeKind.DONE });
  const odd = oddity === undefined ? [] : encodeOddity(oddity, version);
  const before = oddity === "entity_first" ? odd : [];
  const after = oddity === "entity_first" ? [] : odd;
  return Buffer.concat([...before, topLevel, ...entities, ...after, done]);
}

/** Returns the `statsig-br` body of a version. */
export const bodyOf = (version: ProjectVersion): Uint8Array =>
  brotliCompressSync(encodeVersion(version), { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });

/** Returns an envelope after its length. */
export function encodeEnvelope(init: EnvelopeInit, more: Uint8Array = new Uint8Array()): Uint8Array {
  const message = toBinary(SpecsEnvelopeSchema, create(SpecsEnvelopeSchema, init));
  return new BinaryWriter().bytes(Buffer.concat([message, more])).finish();
}

function encodeTopLevel({ time, checksum, rest, companyId }: ProjectVersion): Uint8Array {
  const message = create(SpecsTopLevelSchema, {
    hasUpdates: true,
    time: BigInt(time),
    companyId,
    responseFormat: "dcs-v2",
    checksum,
    rest: Buffer.from(JSON.stringify(rest)),
  });
  return toBinary(SpecsTopLevelSchema, message);
}

function encodeEntityEnvelope(entity: Entity, style: ChecksumStyle): Uint8Array {
  const data = encodeEntity(entity);
  const checksum = checksumOf(entity.name, data, style);
  return encodeEnvelope({ kind: ENVELOPE_KINDS[entity.kind], name: entity.name, checksum, data });
}

const ODD_NUMBERS: readonly ((value: number) => string)[] = [
  (value) => `+${value}`,
  (value) => `000${value}`,
  (value) => `${value + 2 ** 32}`,
  (value) => `-${value}`,
  (value) => `${value}.0`,
  (value) => ` ${value}`,
  (value) => `${value}e0`,
  (value) => `0x${value.toString(16)}`,
  (value) => `++${value}`,
  (value) => `${2 ** 32 - 1 - (value % 1_000)}`,
];

function checksumOf(name: string, data: Uint8Array, style: ChecksumStyle): string {
  const digest = createHash("md5").update(data).digest();
  const number = digest.readUInt32LE(0);
  switch (style) {
    case "base64":
      return digest.toString("base64");
    case "u32":
      return String(number);
    case "odd":
      return ODD_NUMBERS[(digest[5] ?? 0) % ODD_NUMBERS.length]?.(number) ?? "";
    case "stale":
      return `checksum of ${name}`;
    case "none":
      return "";
  }
}

function encodeChecksums({ entities, checksumStyle }: ProjectVersion): Uint8Array {
  const sums = FIELDS.map(({ name, kind }): [string, bigint] => {
    const ofField = entities.filter((entity) => ENVELOPE_KINDS[entity.kind] === kind);
    const checksums = ofField.map((each) => checksumOf(each.name, encodeEntity(each), checksumStyle));
    return [name, sumOfChecksums(checksums)];
  });
  return encodeSums(new Map(sums));
}

/** Returns a CHECKSUMS envelope. */
function encodeSums(sums: ReadonlyMap<string, bigint>): Uint8Array {
  const writer = new BinaryWriter();
  for (const [name, sum] of sums) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name).tag(2, WireType.Varint).uint64(String(sum)).join();
  }
  return encodeEnvelope({ kind: SpecsEnvelopeKind.CHECKSUMS, data: writer.finish() });
}

/** Returns the `statsig-br` body with the sums of CHECKSUMS increased, so that an SDK refuses it. */
export function withWrongSums(body: Uint8Array): Buffer {
  const envelopes = readEnvelopes(body).map(({ kind, data, bytes }) => {
    if (kind !== SpecsEnvelopeKind.CHECKSUMS || data === undefined)
      return new BinaryWriter().bytes(bytes).finish();
    return encodeSums(new Map(Array.from(readSums(data), ([name, sum]) => [name, sum + 1n])));
  });
  return brotliCompressSync(Buffer.concat(envelopes));
}

/** A kind of a later version of the protocol. */
const UNKNOWN_KIND = 11 as SpecsEnvelopeKind;
/** Field 15 of an envelope, which has no such field: a text. */
const UNKNOWN_FIELD = Buffer.from([0x7a, 3, 0x61, 0x62, 0x63]);

function encodeOddity(oddity: Oddity, version: ProjectVersion): readonly Uint8Array[] {
  const gate = { kind: SpecsEnvelopeKind.FEATURE_GATE, name: "odd_gate" };
  const entity = (content: number): Entity => ({ kind: "gate", name: "odd_gate", content });
  const encode = (content: number) => encodeEntityEnvelope(entity(content), version.checksumStyle);
  const content = version.time % 1_000;
  switch (oddity) {
    case "unknown_kind":
      return [encodeEnvelope({ kind: UNKNOWN_KIND, name: "odd", data: encodeEntity(entity(content)) })];
    case "duplicate_name":
      return [encode(content), encode(content + 1)];
    case "no_data":
      return [encodeEnvelope({ ...gate, checksum: `no data ${content}` })];
    case "unknown_field": {
      const data = encodeEntity(entity(content));
      return [encodeEnvelope({ ...gate, checksum: String(content), data }, UNKNOWN_FIELD)];
    }
    case "checksums":
      return [encodeChecksums(version)];
    case "deletions":
      return [encodeEnvelope({ kind: SpecsEnvelopeKind.DELETIONS, data: new Uint8Array() })];
    case "entity_first":
      return [encode(content)];
    case "second_top_level":
      return [
        encodeEnvelope({
          kind: SpecsEnvelopeKind.TOP_LEVEL,
          data: encodeTopLevel({ ...version, companyId: "second" }),
        }),
      ];
  }
}
