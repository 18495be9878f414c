import { gunzipSync, gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SpecHistory, SpecHistorySchema } from "../../gen/spec_history_pb.ts";
import type { VersionId } from "./delta.ts";
import { DIGEST_LENGTH, type Entity, entityId } from "./entities.ts";

/** When an entity last changed, or went. */
interface Change {
  readonly kind: number;
  readonly name: string;
  /** As {@link Entity.digest}; empty if the entity is not in the newest version. */
  readonly digest: string;
  /** The index of the version in which it changed; 0 if that is longer ago. */
  readonly changedIn: number;
}

type Changes = ReadonlyMap<string, Change>;

/** A longer history, decompressed, is ignored: it is not from this relay's kind. */
const MAX_DECODED_BYTES = 64 * 1024 * 1024;

/**
 * What changed between the last versions of a feed. It does not hold the versions, but for each entity of the newest one the
 * version in which it last changed: what changed after an earlier version is what a client of that version needs. An entity that
 * changed and changed back counts as changed, so that a delta may have more than it needs, but never less. Immutable.
 */
export class VersionHistory {
  /** Oldest first. */
  readonly versions: readonly VersionId[];
  /** The entities of the newest version and removed ones, by {@link entityId}. */
  readonly changes: Changes;
  /** The latest lcut of the versions that were forgotten; 0 if there are none. */
  readonly forgottenLcut: number;

  constructor(versions: readonly VersionId[], changes: Changes, forgottenLcut = 0) {
    this.versions = versions;
    this.changes = changes;
    this.forgottenLcut = forgottenLcut;
  }

  /** Returns the history of a version before which nothing is known. */
  static startWith(version: VersionId, entities: ReadonlyMap<string, Entity>): VersionHistory {
    const changes = new Map(
      Array.from(entities, ([id, { kind, name, digest }]) => [id, { kind, name, digest, changedIn: 0 }]),
    );
    return new VersionHistory([toId(version)], changes);
  }

  /** Returns the history with a newer version, which may be the newest one of this history. */
  advance(version: VersionId, entities: ReadonlyMap<string, Entity>): VersionHistory {
    const isKnown = isSame(this.versions.at(-1), version);
    const before: VersionHistory = isKnown ? this : this.#without(version);
    const versions = isKnown ? before.versions : [...before.versions, toId(version)];
    const changedIn = versions.length - 1;
    const changes = new Map<string, Change>();
    for (const [id, { kind, name, digest }] of entities) {
      const known = before.changes.get(id);
      changes.set(id, known?.digest === digest ? known : { kind, name, digest, changedIn });
    }
    for (const [id, known] of before.changes) {
      if (entities.has(id)) continue;
      changes.set(id, known.digest === "" ? known : { ...known, digest: "", changedIn });
    }
    return new VersionHistory(versions, changes, this.forgottenLcut);
  }

  /** Returns the history without a version that is not the newest, which may come back. */
  #without(version: VersionId): VersionHistory {
    const at = this.versions.findIndex((each) => isSame(each, version));
    if (at < 0) return this;
    // What changed in it changed in the next one, seen from the versions before.
    const shift = (changedIn: number) => (changedIn > at ? changedIn - 1 : changedIn);
    const versions = this.versions.toSpliced(at, 1);
    return new VersionHistory(versions, mapChanges(this.changes, shift), this.forgottenLcut);
  }

  /**
   * Returns what this and another history know about the same newest version. Another relay may have seen other versions between.
   * If the two contradict each other, the versions of the other one are forgotten.
   */
  merge(other: VersionHistory): VersionHistory {
    const merged = interleave(this.versions, other.versions);
    const forgottenLcut = Math.max(this.forgottenLcut, other.forgottenLcut);
    if (merged === undefined)
      return new VersionHistory(this.versions, this.changes, latestLcut(other.versions, forgottenLcut));
    const { versions, ofFirst, ofSecond } = merged;
    // What a history says of index 0 is about its own versions: the other one knows the versions before.
    const mapTo = (indexes: readonly number[]) => (changedIn: number) =>
      changedIn === 0 ? 0 : (indexes[changedIn] ?? 0);
    const changes = new Map(mapChanges(this.changes, mapTo(ofFirst)));
    for (const [id, change] of mapChanges(other.changes, mapTo(ofSecond))) {
      const known = changes.get(id);
      if (known === undefined || change.changedIn > known.changedIn) changes.set(id, change);
    }
    return new VersionHistory(versions, changes, forgottenLcut);
  }

  /**
   * Returns whether the lcut stands for no other version, as far as is known: not even for one that was forgotten, since these are
   * usually older than all others.
   */
  isOnlyOfLcut({ lcut }: VersionId): boolean {
    return lcut > this.forgottenLcut && this.versions.filter((each) => each.lcut === lcut).length === 1;
  }

  /** Returns the history of the last `depth` versions. */
  limit(depth: number): VersionHistory {
    const forgotten = Math.max(0, this.versions.length - depth);
    const kept = new Map<string, Change>();
    for (const [id, change] of this.changes) {
      const changedIn = Math.max(0, change.changedIn - forgotten);
      if (change.digest === "" && changedIn === 0) continue;
      // Most changed long ago: they need no new object.
      kept.set(id, changedIn === change.changedIn ? change : { ...change, changedIn });
    }
    const forgottenLcut = latestLcut(this.versions.slice(0, forgotten), this.forgottenLcut);
    return new VersionHistory(this.versions.slice(forgotten), kept, forgottenLcut);
  }

  /** `feed` identifies the feed, for {@link VersionHistory.decode}. */
  encode(feed: string): Uint8Array<ArrayBuffer> {
    const all = [...this.changes.values()];
    const entities = all.filter(({ digest }) => digest !== "");
    const removed = all.filter(({ digest }) => digest === "");
    const message = create(SpecHistorySchema, {
      feed,
      versions: this.versions.map(({ lcut, checksum }) => ({ lcut: BigInt(lcut), checksum })),
      forgottenLcut: BigInt(this.forgottenLcut),
      entityKinds: entities.map(({ kind }) => kind),
      entityNames: entities.map(({ name }) => name),
      entityDigests: Buffer.from(entities.map(({ digest }) => digest).join(""), "latin1"),
      entityChangedIn: entities.map(({ changedIn }) => changedIn),
      removedKinds: removed.map(({ kind }) => kind),
      removedNames: removed.map(({ name }) => name),
      removedIn: removed.map(({ changedIn }) => changedIn),
    });
    return new Uint8Array(gzipSync(toBinary(SpecHistorySchema, message), { level: 1 }));
  }

  /** Returns undefined if the bytes are damaged, or the history of another feed. */
  static decode(bytes: Uint8Array, feed: string): VersionHistory | undefined {
    try {
      const decoded = gunzipSync(bytes, { maxOutputLength: MAX_DECODED_BYTES });
      const message = fromBinary(SpecHistorySchema, decoded);
      return message.feed === feed ? toHistory(message) : undefined;
    } catch {
      return undefined;
    }
  }
}

function toId({ lcut, checksum }: VersionId): VersionId {
  return { lcut, checksum };
}

function isSame(one: VersionId | undefined, other: VersionId | undefined): boolean {
  return one?.lcut === other?.lcut && one?.checksum === other?.checksum;
}

function mapChanges(changes: Changes, toIndex: (changedIn: number) => number): Changes {
  return new Map(
    Array.from(changes, ([id, change]) => [id, { ...change, changedIn: toIndex(change.changedIn) }]),
  );
}

function latestLcut(versions: readonly VersionId[], atLeast: number): number {
  return Math.max(atLeast, ...versions.map(({ lcut }) => lcut));
}

interface Interleaved {
  readonly versions: readonly VersionId[];
  /** The index in `versions` of each version of the first list. */
  readonly ofFirst: readonly number[];
  readonly ofSecond: readonly number[];
}

/** Merges two lists of versions, and keeps the order of both. Returns undefined if their orders contradict each other. */
function interleave(first: readonly VersionId[], second: readonly VersionId[]): Interleaved | undefined {
  const versions: VersionId[] = [];
  const ofFirst: number[] = [];
  const ofSecond: number[] = [];
  const isIn = (list: readonly VersionId[], version: VersionId) => list.some((each) => isSame(each, version));
  while (ofFirst.length < first.length || ofSecond.length < second.length) {
    const one = first[ofFirst.length];
    const other = second[ofSecond.length];
    const takesOne = one !== undefined && (isSame(one, other) || !isIn(second, one));
    const takesOther = other !== undefined && (isSame(one, other) || !isIn(first, other));
    if (!takesOne && !takesOther) return undefined;
    const isOneFirst = takesOne && (!takesOther || one.lcut <= other.lcut);
    const index = versions.length;
    if (isOneFirst || isSame(one, other)) ofFirst.push(index);
    if (!isOneFirst || isSame(one, other)) ofSecond.push(index);
    const taken = isOneFirst ? one : other;
    if (taken === undefined) return undefined;
    versions.push(taken);
  }
  return { versions, ofFirst, ofSecond };
}

/** Throws a RangeError if the message contradicts itself. */
function toHistory(message: SpecHistory): VersionHistory | undefined {
  const versions = message.versions.map(({ lcut, checksum }) => ({ lcut: Number(lcut), checksum }));
  const { entityKinds, entityNames, entityChangedIn, removedKinds, removedNames, removedIn } = message;
  const digests = Buffer.from(message.entityDigests).toString("latin1");
  if (digests.length !== entityNames.length * DIGEST_LENGTH) throw new RangeError("a digest is missing");
  const changes = new Map<string, Change>();
  const add = (kind: number | undefined, name: string, digest: string, changedIn: number | undefined) => {
    if (kind === undefined || changedIn === undefined || changedIn >= versions.length)
      throw new RangeError("a list is too short, or an index too large");
    changes.set(entityId(kind, name), { kind, name, digest, changedIn });
  };
  for (const [at, name] of removedNames.entries()) add(removedKinds[at], name, "", removedIn[at]);
  for (const [at, name] of entityNames.entries()) {
    const digest = digests.slice(at * DIGEST_LENGTH, (at + 1) * DIGEST_LENGTH);
    add(entityKinds[at], name, digest, entityChangedIn[at]);
  }
  return versions.length === 0
    ? undefined
    : new VersionHistory(versions, changes, Number(message.forgottenLcut));
}
