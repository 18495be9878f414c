import { fromBinary } from "@bufbuild/protobuf";
import {
  RulesetsChecksumsSchema,
  RulesetsResponseDeletionsSchema,
  SpecsEnvelopeKind,
} from "../../gen/statsig_config_specs_pb.ts";
import { type ByteRange, type Envelope, readEnvelopes } from "../payload/envelopes.ts";
import { describeTooLarge, PayloadRefused } from "../payload/payload.ts";
import {
  digestContent,
  ENTITY_FIELDS,
  type Entity,
  entityId,
  indexPayload,
  isEntityKind,
  isKnownTopLevel,
  type PayloadIndex,
  readEntity,
  type SpecKind,
  sumChecksums,
} from "./entities.ts";

interface DeltaApplication {
  /** The version from which the delta leads, decompressed. */
  readonly base: Uint8Array;
  /** Decompressed. */
  readonly delta: Uint8Array;
  /** As {@link digestContent} returns it for the version to which the delta leads; undefined if upstream did not send it. */
  readonly contentDigest: string | undefined;
  /** Limit of the size of the version, decompressed. */
  readonly maxBytes: number;
}

/** A version that a delta led to. */
interface AppliedDelta {
  /** All of it, decompressed. */
  readonly decoded: Uint8Array;
  readonly index: PayloadIndex;
}

/**
 * Makes the whole version to which a delta leads (docs/protocol.md, Deltas). Throws {@link PayloadRefused} if the delta is
 * malformed, or if it is not proven that the result is the version that upstream has. The proof is the digest that upstream sent, or
 * else the checksums, if every entity has one that counts.
 */
export function applyDelta({ base, delta, contentDigest, maxBytes }: DeltaApplication): AppliedDelta {
  const index = indexPayload(base);
  if (index === undefined) throw refused("no delta applies to the cached version: it has unknown parts");
  const entities: Entities = new Map();
  for (const [id, entity] of index.entities) entities.set(id, { from: base, entity });
  const { topLevel, done, checksums } = applyEnvelopes(delta, entities);
  const applied = assemble(delta, { topLevel, done }, entities, maxBytes);
  verifyChecksums(applied.index, checksums);
  verifyContent(applied, contentDigest);
  return applied;
}

interface SourcedEntity {
  /** What `entity.whole` is a part of: the base, or the delta. */
  readonly from: Uint8Array;
  readonly entity: Entity;
}

/** The key is the {@link entityId}. */
type Entities = Map<string, SourcedEntity>;

/** Fields of `RulesetsChecksums`. */
type Checksums = Readonly<Record<string, bigint>>;

/** What a delta has besides changes of entities. */
interface OtherParts {
  readonly topLevel: ByteRange;
  readonly done: ByteRange;
  readonly checksums: Checksums;
}

/** Applies the changes of entities. */
function applyEnvelopes(delta: Uint8Array, entities: Entities): OtherParts {
  let isFirst = true;
  let topLevel: ByteRange | undefined;
  let checksums: Checksums | undefined;
  let done: ByteRange | undefined;
  for (const envelope of readDelta(delta)) {
    const { kind, whole, hasUnknownField } = envelope;
    if (hasUnknownField) throw refused("an envelope has an unknown field");
    if (done !== undefined) throw refused("there is something after DONE");
    if (isFirst !== (kind === SpecsEnvelopeKind.COPY_PREV))
      throw refused("COPY_PREV is not at its beginning");
    isFirst = false;
    if (kind === SpecsEnvelopeKind.TOP_LEVEL && topLevel === undefined)
      topLevel = readTopLevel(delta, envelope);
    else if (kind === SpecsEnvelopeKind.CHECKSUMS && checksums === undefined)
      checksums = readChecksums(copyData(delta, envelope));
    else if (kind === SpecsEnvelopeKind.DELETIONS) deleteEntities(copyData(delta, envelope), entities);
    else if (kind === SpecsEnvelopeKind.DONE) done = whole;
    else if (isEntityKind(kind)) takeEntity(delta, envelope, kind, entities);
    else if (kind !== SpecsEnvelopeKind.COPY_PREV)
      throw refused(`an envelope of kind ${kind} is unexpected, or there are two`);
  }
  if (done === undefined) throw refused("it does not end with DONE");
  if (topLevel === undefined) throw refused("it has no TOP_LEVEL");
  if (checksums === undefined) throw refused("it has no CHECKSUMS");
  return { topLevel, checksums, done };
}

function* readDelta(delta: Uint8Array): Generator<Envelope, void, undefined> {
  const envelopes = readEnvelopes(delta);
  while (true) {
    const next = parse("the envelopes", () => envelopes.next());
    if (next.done === true) return;
    yield next.value;
  }
}

function readTopLevel(delta: Uint8Array, envelope: Envelope): ByteRange {
  if (!parse("TOP_LEVEL", () => isKnownTopLevel(delta, envelope)))
    throw refused("TOP_LEVEL has no data, or an unknown field");
  return envelope.whole;
}

function takeEntity(delta: Uint8Array, envelope: Envelope, kind: SpecKind, entities: Entities): void {
  const entity = readEntity(delta, envelope, kind);
  if (entity === undefined) throw refused("it has an entity without a name or data");
  entities.set(entityId(kind, entity.name), { from: delta, entity });
}

function deleteEntities(data: Uint8Array, entities: Entities): void {
  const deletions = parse("DELETIONS", () => fromBinary(RulesetsResponseDeletionsSchema, data));
  // TOP_LEVEL replaces all other fields: what else could be deleted is not known.
  if (deletions.$unknown?.length) throw refused("DELETIONS have an unknown field");
  for (const [kind, { deletions: field }] of Object.entries(ENTITY_FIELDS))
    for (const name of deletions[field]) entities.delete(entityId(Number(kind), name));
}

function readChecksums(data: Uint8Array): Checksums {
  return parse("CHECKSUMS", () => fromBinary(RulesetsChecksumsSchema, data)).fieldChecksums;
}

function copyData(delta: Uint8Array, { data }: Envelope): Uint8Array {
  return data === undefined ? new Uint8Array() : delta.slice(...data);
}

function parse<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw refused(`${what} cannot be read`);
  }
}

function assemble(
  delta: Uint8Array,
  { topLevel, done }: Pick<OtherParts, "topLevel" | "done">,
  entities: Entities,
  maxBytes: number,
): AppliedDelta {
  let size = lengthOf(topLevel) + lengthOf(done);
  for (const { entity } of entities.values()) size += lengthOf(entity.whole);
  if (size > maxBytes) throw new PayloadRefused("too_large", describeTooLarge(maxBytes));
  const decoded = new Uint8Array(size);
  let end = 0;
  const append = (from: Uint8Array, whole: ByteRange): ByteRange => {
    const start = end;
    decoded.set(from.subarray(...whole), start);
    end += lengthOf(whole);
    return [start, end];
  };
  const movedTopLevel = append(delta, topLevel);
  const moved = new Map<string, Entity>();
  for (const [id, { from, entity }] of entities)
    moved.set(id, { ...entity, whole: append(from, entity.whole) });
  return { decoded, index: { topLevel: movedTopLevel, entities: moved, done: append(delta, done) } };
}

function lengthOf([from, to]: ByteRange): number {
  return to - from;
}

function verifyChecksums({ entities }: PayloadIndex, checksums: Checksums): void {
  const sums = sumChecksums(entities);
  if (Object.keys(checksums).length !== sums.size) throw refused("CHECKSUMS do not have the expected keys");
  for (const [field, sum] of sums) {
    const expected = checksums[field];
    if (expected !== sum) throw refused(`the checksum of ${field} is ${sum}, expected ${expected ?? "none"}`);
  }
}

function verifyContent({ decoded, index }: AppliedDelta, contentDigest: string | undefined): void {
  if (contentDigest !== undefined) {
    if (contentDigest !== digestContent(decoded, index)) throw refused("the result has another digest");
    return;
  }
  // Without numbers, the sums are those of any version.
  if (index.entities.size === 0) throw refused("the result cannot be verified: it has no entities");
  for (const { checksumValue } of index.entities.values())
    if (checksumValue === undefined)
      throw refused("the result cannot be verified: not every entity has a checksum that is a number");
}

function refused(detail: string): PayloadRefused {
  return new PayloadRefused("delta", detail);
}
