import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { SpecFormat } from "../feed.ts";
import { type ByteRange, type Envelope, readEnvelopes } from "./envelopes.ts";
import { forEachMember } from "./json.ts";
import { PayloadRefused } from "./payload.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A part of the new bytes: a part of the old ones, or what replaces one. */
type Part = ByteRange | Uint8Array;

/**
 * Returns a decompressed config spec with another time, and every other byte as it was. SDKs drop an update whose time is older, so
 * that an earlier content reaches them as a new version only. Throws {@link PayloadRefused} if the bytes are not a config spec.
 */
export function restamp(decoded: Uint8Array, format: SpecFormat, lcut: number): Bytes {
  const parts = format === "json" ? restampJson(decoded, lcut) : restampProto(decoded, lcut);
  return join(decoded, parts);
}

/** Replaces every member `time` of the object, since parsers differ in which of several counts. */
function restampJson(text: Uint8Array, lcut: number): readonly Part[] {
  const times: Replacement[] = [];
  let isEmpty = true;
  const isObject = forEachMember(text, ({ name, value }) => {
    isEmpty = false;
    if (isTime(text.subarray(...name))) times.push({ range: value, by: Buffer.from(String(lcut)) });
  });
  if (!isObject) throw new PayloadRefused("malformed", "the body is not a JSON object");
  return times.length === 0 ? insertTime(text, isEmpty, lcut) : replaceAll(text, times);
}

/** The longest way to write `"time"`, with all characters escaped. */
const MAX_TIME_NAME_BYTES = 2 + 4 * "\\u0000".length;

function isTime(name: Uint8Array): boolean {
  if (name.length > MAX_TIME_NAME_BYTES) return false;
  return JSON.parse(new TextDecoder().decode(name)) === "time";
}

/** The version was in `x-since-time` alone. */
function insertTime(text: Uint8Array, isEmpty: boolean, lcut: number): readonly Part[] {
  const at = text.indexOf("{".charCodeAt(0)) + 1;
  return [[0, at], Buffer.from(`"time":${lcut}${isEmpty ? "" : ","}`), [at, text.length]];
}

/** The kind of envelope and the fields that the time is in; see proto/statsig_config_specs.proto. */
const KIND_TOP_LEVEL = 2;
const ENVELOPE_DATA = 4;
const TOP_LEVEL_TIME = 2;

function restampProto(bytes: Uint8Array, lcut: number): readonly Part[] {
  try {
    const topLevels = [...readEnvelopes(bytes)].filter(({ kind }) => kind === KIND_TOP_LEVEL);
    const replaced = topLevels.map((each) => ({ range: each.whole, by: restampEnvelope(bytes, each, lcut) }));
    return replaceAll(bytes, replaced);
  } catch {
    throw new PayloadRefused("malformed", "the body is not a sequence of protobuf envelopes");
  }
}

/** Copies the fields of the envelope in their order. Of several fields `data` the last one counts, and gets the time. */
function restampEnvelope(bytes: Uint8Array, { whole, data }: Envelope, lcut: number): Uint8Array {
  const time = new BinaryWriter().tag(TOP_LEVEL_TIME, WireType.Varint).uint64(lcut).finish();
  const stamped = new BinaryWriter().tag(ENVELOPE_DATA, WireType.LengthDelimited);
  stamped.bytes(join(bytes, data === undefined ? [time] : restampTopLevel(bytes, data, time)));
  const reader = new BinaryReader(bytes.subarray(...whole));
  reader.uint32();
  const parts: Part[] = [];
  while (reader.pos < reader.len) {
    const start = whole[0] + reader.pos;
    const [field, type] = reader.tag();
    reader.skip(type, field);
    const end = whole[0] + reader.pos;
    const isData = field === ENVELOPE_DATA && end === data?.[1];
    parts.push(isData ? stamped.finish() : [start, end]);
  }
  if (data === undefined) parts.push(stamped.finish());
  return new BinaryWriter().bytes(join(bytes, parts)).finish();
}

/** Replaces each field `time`, or adds one. */
function restampTopLevel(bytes: Uint8Array, data: ByteRange, time: Uint8Array): readonly Part[] {
  const reader = new BinaryReader(bytes.subarray(...data));
  const parts: Part[] = [];
  let isStamped = false;
  while (reader.pos < reader.len) {
    const start = data[0] + reader.pos;
    const [field, type] = reader.tag();
    reader.skip(type, field);
    const isTimeField = field === TOP_LEVEL_TIME && type === WireType.Varint;
    parts.push(isTimeField ? time : [start, data[0] + reader.pos]);
    isStamped ||= isTimeField;
  }
  return isStamped ? parts : [...parts, time];
}

interface Replacement {
  readonly range: ByteRange;
  readonly by: Uint8Array;
}

function replaceAll(bytes: Uint8Array, replacements: readonly Replacement[]): readonly Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { range, by } of replacements) {
    parts.push([at, range[0]], by);
    at = range[1];
  }
  return [...parts, [at, bytes.length]];
}

function join(bytes: Uint8Array, parts: readonly Part[]): Bytes {
  const views = parts.map((part) => (part instanceof Uint8Array ? part : bytes.subarray(...part)));
  const joined = new Uint8Array(views.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const view of views) {
    joined.set(view, at);
    at += view.length;
  }
  return joined;
}
