import { hash } from "node:crypto";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { isEntityKind, readEntity } from "../deltas/entities.ts";
import type { SpecFormat } from "../feed.ts";
import { type ByteRange, readEnvelopes } from "../payload/envelopes.ts";
import {
  CLOSE_ARRAY,
  COMMA,
  endOfValue,
  forEachMember,
  MALFORMED,
  type MemberRange,
  OPEN_ARRAY,
  OPEN_OBJECT,
  skipSpace,
} from "../payload/json.ts";
import { PayloadRefused } from "../payload/payload.ts";

/** The kinds of entities that have names, and the other top-level fields. Experiments and autotunes are dynamic configs, segments are gates. */
export const ENTITY_KINDS = [
  "gates",
  "dynamic_configs",
  "layers",
  "param_stores",
  "conditions",
  "other_fields",
] as const;
export type NamedKind = (typeof ENTITY_KINDS)[number];

/** The digest of each entity of a version, by its name. */
export type NamedEntities = ReadonlyMap<NamedKind, ReadonlyMap<string, string>>;

type Names = Map<NamedKind, Map<string, string>>;

/** The top-level fields of JSON that hold entities: in v1 as lists, in v2 by name. */
const JSON_KINDS: ReadonlyMap<string, NamedKind> = new Map([
  ["feature_gates", "gates"],
  ["dynamic_configs", "dynamic_configs"],
  ["layer_configs", "layers"],
  ["param_stores", "param_stores"],
  ["condition_map", "conditions"],
]);

/** The kinds of envelopes that hold entities; see proto/statsig_config_specs.proto. */
const PROTO_KINDS: ReadonlyMap<number, NamedKind> = new Map([
  [3, "gates"],
  [4, "dynamic_configs"],
  [5, "layers"],
  [6, "param_stores"],
  [7, "conditions"],
]);
const KIND_TOP_LEVEL = 2;
const TOP_LEVEL_REST = 7;

/** Differ between versions with the same content. */
const NOT_CONTENT: ReadonlySet<string> = new Set(["time", "checksum", "has_updates"]);

/**
 * Returns what is named in a decompressed config spec. Without making values of the JSON, which would take several times its size.
 * Throws {@link PayloadRefused} if the bytes are not a config spec.
 */
export function readNames(bytes: Uint8Array, format: SpecFormat): NamedEntities {
  const names: Names = new Map(ENTITY_KINDS.map((kind) => [kind, new Map()]));
  if (format === "json") readJson(bytes, names);
  else readProto(bytes, names);
  return names;
}

function readProto(bytes: Uint8Array, names: Names): void {
  for (const envelope of readEnvelopes(bytes)) {
    const { kind, data } = envelope;
    const named = PROTO_KINDS.get(kind);
    if (named !== undefined && isEntityKind(kind)) {
      const entity = readEntity(bytes, envelope, kind);
      if (entity !== undefined) names.get(named)?.set(entity.name, entity.digest);
    } else if (kind === KIND_TOP_LEVEL && data !== undefined) {
      const rest = findRest(bytes.subarray(...data));
      if (rest !== undefined && rest.length > 0) readJson(rest, names);
    }
  }
}

function findRest(topLevel: Uint8Array): Uint8Array | undefined {
  const reader = new BinaryReader(topLevel);
  let rest: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === TOP_LEVEL_REST && type === WireType.LengthDelimited) rest = reader.bytes();
    else reader.skip(type, field);
  }
  return rest;
}

function readJson(text: Uint8Array, names: Names): void {
  for (const { name, value } of membersOf(text)) {
    const field = readName(text, name);
    const kind = JSON_KINDS.get(field);
    if (kind !== undefined) readEntities(text.subarray(...value), names.get(kind));
    else if (!NOT_CONTENT.has(field)) names.get("other_fields")?.set(field, digest(text, value));
  }
}

function readEntities(text: Uint8Array, names: Map<string, string> | undefined): void {
  if (text[0] === OPEN_OBJECT) {
    for (const { name, value } of membersOf(text)) names?.set(readName(text, name), digest(text, value));
  } else if (text[0] === OPEN_ARRAY) {
    for (const element of elementsOf(text)) {
      const name = text[element[0]] === OPEN_OBJECT ? nameOf(text.subarray(...element)) : undefined;
      if (name !== undefined) names?.set(name, digest(text, element));
    }
  }
}

/** Returns the value of the member `name` of an object. */
function nameOf(text: Uint8Array): string | undefined {
  const member = membersOf(text).find(({ name }) => readName(text, name) === "name");
  const isText = member !== undefined && text[member.value[0]] === QUOTE;
  return isText ? readName(text, member.value) : undefined;
}

const QUOTE = 0x22;

function membersOf(text: Uint8Array): readonly MemberRange[] {
  const members: MemberRange[] = [];
  if (!forEachMember(text, (member) => void members.push(member))) refuse();
  return members;
}

/** Yields the elements of an array. */
function* elementsOf(text: Uint8Array): Generator<ByteRange, void, undefined> {
  let at = skipSpace(text, 1);
  while (text[at] !== CLOSE_ARRAY) {
    const end = endOfValue(text, at);
    if (end === MALFORMED) refuse();
    yield [at, end];
    at = skipSpace(text, end);
    if (text[at] === COMMA) at = skipSpace(text, at + 1);
  }
}

function refuse(): never {
  throw new PayloadRefused("malformed", "the body is not a JSON object");
}

/** `name` includes the quotes. */
function readName(text: Uint8Array, name: ByteRange): string {
  return String(JSON.parse(new TextDecoder().decode(text.subarray(...name))));
}

function digest(text: Uint8Array, range: ByteRange): string {
  return hash("sha256", text.subarray(...range), "base64url").slice(0, DIGEST_LENGTH);
}

const DIGEST_LENGTH = 16;
