import type { SharedBytes } from "../../platform/shared-bytes.ts";
import type { SpecFormat } from "../feed.ts";
import { inspectCoded } from "../payload/encoding.ts";
import { ENTITY_KINDS, type NamedEntities, type NamedKind, readNames } from "./names.ts";

/** A version that is kept, as one of its bodies. */
export interface KeptBody {
  readonly format: SpecFormat;
  readonly body: SharedBytes;
  /** The Content-Encoding of the body; empty if it has none. */
  readonly contentEncoding: string;
}

/** What differs between two versions, by name alone. Values are not shown: they can be secrets. */
export type VersionDiff = Readonly<Record<NamedKind, KindDiff>>;

interface KindDiff {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** The numbers of all names: the lists have at most 1,000 each. */
  readonly total: { readonly added: number; readonly removed: number; readonly changed: number };
}

export interface DiffRequest {
  readonly from: KeptBody;
  readonly to: KeptBody;
  /** Limit of the size of a version, as sent and decoded. */
  readonly maxBytes: number;
}

const MAX_NAMES = 1_000;
const MAX_NAME_CHARS = 200;

/** Compares two versions of one format. Takes up to seconds of CPU time, so it runs in a Worker. Throws PayloadRefused. */
export async function diffVersions({ from, to, maxBytes }: DiffRequest): Promise<VersionDiff> {
  // One after the other, so that one of them is in memory at a time.
  const before = await readKept(from, maxBytes);
  const after = await readKept(to, maxBytes);
  return Object.fromEntries(
    ENTITY_KINDS.map((kind) => [kind, diffKind(before.get(kind), after.get(kind))]),
  ) as VersionDiff;
}

async function readKept(
  { body, contentEncoding, format }: KeptBody,
  maxBytes: number,
): Promise<NamedEntities> {
  const inspected = await inspectCoded(new Uint8Array(body), contentEncoding, maxBytes);
  return readNames(await inspected.decode(), format);
}

function diffKind(
  before: ReadonlyMap<string, string> = new Map(),
  after: ReadonlyMap<string, string> = new Map(),
): KindDiff {
  const added = [...after.keys()].filter((name) => !before.has(name));
  const removed = [...before.keys()].filter((name) => !after.has(name));
  const changed = [...after].filter(([name, digest]) => (before.get(name) ?? digest) !== digest);
  const lists = { added, removed, changed: changed.map(([name]) => name) };
  return {
    added: limit(lists.added),
    removed: limit(lists.removed),
    changed: limit(lists.changed),
    total: { added: added.length, removed: removed.length, changed: changed.length },
  };
}

function limit(names: readonly string[]): readonly string[] {
  return names
    .toSorted()
    .slice(0, MAX_NAMES)
    .map((name) => name.slice(0, MAX_NAME_CHARS));
}
