import { hash } from "node:crypto";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { SpecsEnvelopeKind, SpecsTopLevelSchema } from "../../gen/statsig_config_specs_pb.ts";
import { type ByteRange, type Envelope, readEnvelopes } from "../payload/envelopes.ts";

/** A gate, config, layer, param store or condition of a version. */
export interface Entity {
  readonly kind: SpecKind;
  readonly name: string;
  /** Differs if any byte of the envelope does. As one character per byte, which is how the runtime compares it fastest. */
  readonly digest: string;
  /** What the entity adds to the sum of its kind: its checksum, or 0 if that is not an unsigned 32-bit integer. */
  readonly checksumValue: number;
  readonly whole: ByteRange;
}

/** Where the parts of a payload are. */
export interface PayloadIndex {
  readonly topLevel: ByteRange;
  readonly done: ByteRange;
  /** In the order of the payload, by {@link entityId}. Of several entities with one id the last counts, as for SDKs. */
  readonly entities: ReadonlyMap<string, Entity>;
}

export type SpecKind = keyof typeof ENTITY_FIELDS;

/** The fields of `RulesetsResponseDeletions` and, in snake case, the keys of `RulesetsChecksums`. */
export const ENTITY_FIELDS = {
  [SpecsEnvelopeKind.FEATURE_GATE]: { deletions: "featureGates", checksums: "feature_gates" },
  [SpecsEnvelopeKind.DYNAMIC_CONFIG]: { deletions: "dynamicConfigs", checksums: "dynamic_configs" },
  [SpecsEnvelopeKind.LAYER_CONFIG]: { deletions: "layerConfigs", checksums: "layer_configs" },
  [SpecsEnvelopeKind.PARAM_STORE]: { deletions: "paramStores", checksums: "param_stores" },
  [SpecsEnvelopeKind.CONDITION]: { deletions: "conditionMap", checksums: "condition_map" },
} as const;

export function isEntityKind(kind: number): kind is SpecKind {
  return Object.hasOwn(ENTITY_FIELDS, kind);
}

/** Returns what identifies an entity within a version: entities of different kinds may have the same name. */
export function entityId(kind: number, name: string): string {
  return `${kind}/${name}`;
}

/** Length of {@link Entity.digest}. With 64 bits, no two envelopes of one name are expected to have the same digest. */
export const DIGEST_LENGTH = 8;

/**
 * Indexes a decompressed config spec. Returns undefined if it has anything that this relay does not know, or that SDKs reject in a
 * delta: some keep a version for ever if a delta is not as they expect (docs/protocol.md, Deltas).
 */
export function indexPayload(bytes: Uint8Array): PayloadIndex | undefined {
  const entities = new Map<string, Entity>();
  let topLevel: ByteRange | undefined;
  for (const envelope of readEnvelopes(bytes)) {
    const { kind, whole } = envelope;
    if (envelope.hasUnknownField) return undefined;
    if (kind === SpecsEnvelopeKind.DONE) return topLevel && { topLevel, done: whole, entities };
    if (kind === SpecsEnvelopeKind.TOP_LEVEL) {
      if (topLevel !== undefined || !isKnownTopLevel(bytes, envelope)) return undefined;
      topLevel = whole;
    } else {
      const entity = isEntityKind(kind) ? readEntity(bytes, envelope, kind) : undefined;
      if (entity === undefined) return undefined;
      const id = entityId(kind, entity.name);
      // Moves the id to the end.
      entities.delete(id);
      entities.set(id, entity);
    }
  }
  return undefined;
}

const TOP_LEVEL_FIELDS: ReadonlySet<number> = new Set(SpecsTopLevelSchema.fields.map(({ number }) => number));

/** Says that the response refers to values elsewhere. If it is true, SDKs reject a response without such a value. */
const MAY_REFER_ELSEWHERE = 8;

/** Whether all fields are known to mean the same in a delta as in a whole version. */
function isKnownTopLevel(bytes: Uint8Array, { data }: Envelope): boolean {
  if (data === undefined) return false;
  const reader = new BinaryReader(bytes.subarray(...data));
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const isFalse = field === MAY_REFER_ELSEWHERE && type === WireType.Varint && !reader.bool();
    if (isFalse) continue;
    if (!TOP_LEVEL_FIELDS.has(field)) return false;
    reader.skip(type, field);
  }
  return true;
}

/** Returns undefined if the entity has no data, or a name that is not text, so that a deletion could not name it. */
function readEntity(bytes: Uint8Array, envelope: Envelope, kind: SpecKind): Entity | undefined {
  const name = readText(bytes, envelope.name);
  if (name === undefined || envelope.data === undefined) return undefined;
  const { whole } = envelope;
  return {
    kind,
    name,
    digest: hash("sha256", bytes.subarray(...whole), "latin1").slice(0, DIGEST_LENGTH),
    checksumValue: toChecksumValue(readText(bytes, envelope.checksum) ?? ""),
    whole,
  };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readText(bytes: Uint8Array, range: ByteRange | undefined): string | undefined {
  if (range === undefined) return "";
  try {
    return utf8.decode(bytes.subarray(...range));
  } catch {
    return undefined;
  }
}

const MAX_UINT32 = 0xffff_ffff;

/** Parses a checksum as core SDKs do (docs/protocol.md, Deltas). */
function toChecksumValue(checksum: string): number {
  const value = /^\+?\d+$/.test(checksum) ? Number(checksum) : 0;
  return value <= MAX_UINT32 ? value : 0;
}
