import { brotliCompressSync, constants } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import {
  RulesetsChecksumsSchema,
  RulesetsResponseDeletionsSchema,
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
} from "../../gen/statsig_config_specs_pb.ts";
import { moveToShared, toShared } from "../../platform/shared-bytes.ts";
import type { ByteRange } from "../payload/envelopes.ts";
import { digestBytes, type PreparedPayload } from "../snapshot.ts";
import type { Delta, DeltaBase, VersionId } from "./delta.ts";
import {
  digestContent,
  ENTITY_FIELDS,
  indexPayload,
  isEntityKind,
  type PayloadIndex,
  type SpecKind,
  sumChecksums,
} from "./entities.ts";
import { VersionHistory } from "./history.ts";

/** A new version, decompressed. */
export interface NewVersion {
  readonly lcut: number;
  readonly checksum: string;
  readonly decoded: Uint8Array;
  /** If it is known already. */
  readonly index?: PayloadIndex | undefined;
  /** The length of the body as clients get it. */
  readonly bodyBytes: number;
}

/** What is known of earlier versions. */
export interface KnownVersions {
  /** Identifies the feed. */
  readonly feed: string;
  /** Limit of versions in the history, at least 1. */
  readonly depth: number;
  /** Encoded histories of the feed, which may describe different versions. */
  readonly histories: readonly Uint8Array[];
}

type SpecDeltas = Required<Pick<PreparedPayload, "deltas" | "history" | "contentDigest">>;

/** A delta must be smaller than the whole version by this factor. */
const MIN_GAIN = 2;

/**
 * Computes the deltas that lead to a version from those before it, and the history with it. Returns undefined if the version has
 * no checksum, so that clients that have it cannot be distinguished from others, or if {@link indexPayload} does.
 */
export function computeDeltas(version: NewVersion, known: KnownVersions): SpecDeltas | undefined {
  const index = version.checksum === "" ? undefined : (version.index ?? indexPayload(version.decoded));
  if (index === undefined) return undefined;
  const history = findHistory(version, index, known);
  const parts = toDeltaParts(version.decoded, index, history);
  const deltas: Delta[] = [];
  // Deltas from older versions contain those from newer ones, so that they only get larger.
  let leftBytes = version.decoded.length;
  let newer = { plainBytes: 0, bodyBytes: 0 };
  for (const { bases, changedAfter } of groupBases(history, parts.changes)) {
    const plain = composeDelta(parts, changedAfter);
    leftBytes -= plain.length;
    if (leftBytes < 0 || estimateBody(plain.length, newer) * MIN_GAIN > version.bodyBytes) break;
    const body = compressDelta(plain);
    if (body.length * MIN_GAIN > version.bodyBytes) break;
    newer = { plainBytes: plain.length, bodyBytes: body.length };
    const bytes = toShared(body);
    deltas.push({ bases, bytes, digest: digestBytes(bytes) });
  }
  const contentDigest = digestContent(version.decoded, index);
  return { deltas, history: moveToShared(history.encode(known.feed)), contentDigest };
}

/** A delta compresses like the one from a newer version, if most of it is the same. Returns 0 if not. */
function estimateBody(plainBytes: number, newer: { plainBytes: number; bodyBytes: number }): number {
  return plainBytes > 2 * newer.plainBytes ? 0 : (plainBytes * newer.bodyBytes) / newer.plainBytes;
}

function findHistory(version: NewVersion, { entities }: PayloadIndex, known: KnownVersions): VersionHistory {
  let history: VersionHistory | undefined;
  for (const encoded of known.histories) {
    const advanced = VersionHistory.decode(encoded, known.feed)?.advance(version, entities);
    history = advanced && history ? history.merge(advanced) : (advanced ?? history);
  }
  return (history ?? VersionHistory.startWith(version, entities)).limit(known.depth);
}

interface BaseGroup {
  readonly bases: readonly DeltaBase[];
  /** What changed in a version after this index is what clients of the bases lack. */
  readonly changedAfter: number;
}

/** Returns the versions before the newest one, latest first. Those with the same changes after them share one delta. */
function groupBases(history: VersionHistory, changes: readonly DeltaChange[]): readonly BaseGroup[] {
  const changedIn = new Set(changes.map((change) => change.changedIn));
  const groups: { bases: DeltaBase[]; changedAfter: number }[] = [];
  for (let at = history.versions.length - 2; at >= 0; at--) {
    const version = history.versions[at] as VersionId;
    const base = { ...version, isOnlyOfLcut: history.isOnlyOfLcut(version) };
    const newer = groups.at(-1);
    if (newer !== undefined && !changedIn.has(at + 1)) newer.bases.push(base);
    else groups.push({ bases: [base], changedAfter: at });
  }
  return groups;
}

/** An entity that a delta may contain or remove. */
interface DeltaChange {
  readonly kind: SpecKind;
  readonly name: string;
  readonly changedIn: number;
  /** Undefined if the entity was removed. */
  readonly envelope: Uint8Array | undefined;
}

/** What the deltas of a version consist of. */
interface DeltaParts {
  readonly topLevel: Uint8Array;
  /** Changes after the oldest known version. */
  readonly changes: readonly DeltaChange[];
  readonly checksums: Uint8Array;
  readonly done: Uint8Array;
}

function toDeltaParts(
  decoded: Uint8Array,
  { topLevel, done, entities }: PayloadIndex,
  history: VersionHistory,
): DeltaParts {
  const copy = ([from, to]: ByteRange) => decoded.subarray(from, to);
  const changes: DeltaChange[] = [];
  for (const [id, { kind, name, changedIn }] of history.changes) {
    if (changedIn === 0 || !isEntityKind(kind)) continue;
    const entity = entities.get(id);
    changes.push({ kind, name, changedIn, envelope: entity && copy(entity.whole) });
  }
  const checksums = encodeEnvelope(SpecsEnvelopeKind.CHECKSUMS, encodeChecksums(entities));
  return { topLevel: copy(topLevel), changes, checksums, done: copy(done) };
}

/** Returns the envelopes of a delta, before compression (docs/protocol.md, Deltas). */
function composeDelta({ topLevel, changes, checksums, done }: DeltaParts, changedAfter: number): Buffer {
  const changed: Uint8Array[] = [];
  const removed = create(RulesetsResponseDeletionsSchema);
  for (const { kind, name, changedIn, envelope } of changes) {
    if (changedIn <= changedAfter) continue;
    if (envelope === undefined) removed[ENTITY_FIELDS[kind].deletions].push(name);
    else changed.push(envelope);
  }
  const deletions = toBinary(RulesetsResponseDeletionsSchema, removed);
  return Buffer.concat([
    encodeEnvelope(SpecsEnvelopeKind.COPY_PREV),
    topLevel,
    ...changed,
    ...(deletions.length > 0 ? [encodeEnvelope(SpecsEnvelopeKind.DELETIONS, deletions)] : []),
    checksums,
    done,
  ]);
}

/** Larger deltas are compressed in a third of the time, for a tenth more bytes. */
const LARGE_DELTA_BYTES = 64 * 1024;

/** Compresses in this thread: deltas are small, and a turn of another thread would take longer than most of them. */
function compressDelta(plain: Uint8Array): Uint8Array {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: plain.length > LARGE_DELTA_BYTES ? 2 : 5,
    [constants.BROTLI_PARAM_LGWIN]: 21,
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  return brotliCompressSync(plain, { params });
}

/** Without all the keys, or with a wrong sum, clients reject the delta. */
function encodeChecksums(entities: PayloadIndex["entities"]): Uint8Array {
  const fieldChecksums = Object.fromEntries(sumChecksums(entities));
  return toBinary(RulesetsChecksumsSchema, create(RulesetsChecksumsSchema, { fieldChecksums }));
}

function encodeEnvelope(kind: SpecsEnvelopeKind, data?: Uint8Array): Uint8Array {
  return sizeDelimitedEncode(
    SpecsEnvelopeSchema,
    create(SpecsEnvelopeSchema, { kind, ...(data && { data }) }),
  );
}
