import { create, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import {
  RulesetsChecksumsSchema,
  RulesetsResponseDeletionsSchema,
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
} from "../../gen/statsig_config_specs_pb.ts";
import { moveToShared } from "../../platform/shared-bytes.ts";
import { encode } from "../payload/encoding.ts";
import type { ByteRange } from "../payload/envelopes.ts";
import { digestBytes, type PreparedPayload } from "../snapshot.ts";
import type { Delta, DeltaBase } from "./delta.ts";
import {
  digestContent,
  ENTITY_FIELDS,
  indexPayload,
  isEntityKind,
  type PayloadIndex,
  sumChecksums,
} from "./entities.ts";
import { type KnownVersion, VersionHistory } from "./history.ts";

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
export async function computeDeltas(
  version: NewVersion,
  known: KnownVersions,
): Promise<SpecDeltas | undefined> {
  const index = version.checksum === "" ? undefined : (version.index ?? indexPayload(version.decoded));
  if (index === undefined) return undefined;
  const history = findHistory(version, index, known);
  const deltas: Delta[] = [];
  // Deltas from older versions contain those from newer ones, so that they only get larger.
  let leftBytes = version.decoded.length;
  for (const { bases, changedAfter } of groupBases(history)) {
    const plain = composeDelta(version.decoded, index, history, changedAfter);
    leftBytes -= plain.length;
    if (leftBytes < 0) break;
    const body = await encode(plain, "br");
    if (body.length * MIN_GAIN > version.bodyBytes) break;
    const bytes = moveToShared(body);
    deltas.push({ bases, bytes, digest: digestBytes(bytes) });
  }
  const contentDigest = digestContent(version.decoded, index);
  return { deltas, history: moveToShared(history.encode(known.feed)), contentDigest };
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
function groupBases({ versions, changes }: VersionHistory): readonly BaseGroup[] {
  const changedIn = new Set(Array.from(changes.values(), (change) => change.changedIn));
  const groups: { bases: DeltaBase[]; changedAfter: number }[] = [];
  for (let at = versions.length - 2; at >= 0; at--) {
    const base = toBase(versions[at] as KnownVersion);
    const newer = groups.at(-1);
    if (newer !== undefined && !changedIn.has(at + 1)) newer.bases.push(base);
    else groups.push({ bases: [base], changedAfter: at });
  }
  return groups;
}

function toBase({ lcut, checksum, sharesLcut }: KnownVersion): DeltaBase {
  return { lcut, checksum, isOnlyOfLcut: !sharesLcut };
}

/** Returns the envelopes of a delta, before compression (docs/protocol.md, Deltas). */
function composeDelta(
  decoded: Uint8Array,
  { topLevel, done, entities }: PayloadIndex,
  { changes }: VersionHistory,
  changedAfter: number,
): Uint8Array {
  const copy = ([from, to]: ByteRange) => decoded.subarray(from, to);
  const changed: Uint8Array[] = [];
  const removed = create(RulesetsResponseDeletionsSchema);
  for (const [id, { kind, name, changedIn }] of changes) {
    if (changedIn <= changedAfter || !isEntityKind(kind)) continue;
    const entity = entities.get(id);
    if (entity === undefined) removed[ENTITY_FIELDS[kind].deletions].push(name);
    else changed.push(copy(entity.whole));
  }
  const deletions = toBinary(RulesetsResponseDeletionsSchema, removed);
  return Buffer.concat([
    encodeEnvelope(SpecsEnvelopeKind.COPY_PREV),
    copy(topLevel),
    ...changed,
    ...(deletions.length > 0 ? [encodeEnvelope(SpecsEnvelopeKind.DELETIONS, deletions)] : []),
    encodeEnvelope(SpecsEnvelopeKind.CHECKSUMS, encodeChecksums(entities)),
    copy(done),
  ]);
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
