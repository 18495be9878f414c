import { isUtf8 } from "node:buffer";
import type { ByteRange } from "./envelopes.ts";
import { limitChecksum, type PayloadFacts, PayloadRefused, parseLcut } from "./payload.ts";

/** The members that are read. None of their names contains a character that must be escaped. */
const WANTED: ReadonlySet<string> = new Set(["has_updates", "time", "checksum", "hashed_sdk_key_used"]);

/** No valid value of these members is longer. */
const MAX_VALUE_BYTES = 200;

/**
 * Reads a JSON config spec without parsing it into values: JSON.parse needs several times the size of the text. Throws
 * {@link PayloadRefused} if the bytes are not exactly one JSON object in UTF-8.
 */
export function readJsonFacts(bytes: Uint8Array): PayloadFacts {
  const members = isUtf8(bytes) ? readMembers(bytes) : undefined;
  if (members === undefined) throw new PayloadRefused("malformed", "the body is not a JSON object");
  const hash = members.get("hashed_sdk_key_used");
  const checksum = members.get("checksum");
  return {
    hasUpdates: members.get("has_updates") !== false,
    lcut: parseLcut(members.get("time")),
    checksum: typeof checksum === "string" ? limitChecksum(checksum) : "",
    hashedSdkKey: typeof hash === "string" || typeof hash === "number" ? String(hash) : undefined,
  };
}

/** Returns undefined if the text is not a JSON object. Of duplicate members the last one counts, as with JSON.parse. */
function readMembers(text: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  const members = new Map<string, unknown>();
  const isObject = forEachMember(text, ({ name, value }) => {
    const read = parse(text, ...name);
    if (typeof read === "string" && WANTED.has(read)) members.set(read, parse(text, ...value));
  });
  return isObject ? members : undefined;
}

/** Where a member of an object is. The name includes its quotes. */
export interface MemberRange {
  readonly name: ByteRange;
  readonly value: ByteRange;
}

/**
 * Calls `visit` with the members of an object, in their order and with duplicates. Returns whether the text is exactly one JSON
 * object. Keeps none of them: a text can have millions.
 */
export function forEachMember(text: Uint8Array, visit: (member: MemberRange) => void): boolean {
  let at = skipSpace(text, 0);
  if (text[at] !== OPEN_OBJECT) return false;
  at = skipSpace(text, at + 1);
  if (text[at] === CLOSE_OBJECT) return isAtEnd(text, at + 1);
  for (;;) {
    const nameAt = at;
    const valueAt = startOfMemberValue(text, nameAt);
    const valueEnd = valueAt === MALFORMED ? MALFORMED : endOfValue(text, valueAt);
    if (valueEnd === MALFORMED) return false;
    visit({ name: [nameAt, endOfString(text, nameAt)], value: [valueAt, valueEnd] });
    at = skipSpace(text, valueEnd);
    if (text[at] === CLOSE_OBJECT) return isAtEnd(text, at + 1);
    if (text[at] !== COMMA) return false;
    at = skipSpace(text, at + 1);
  }
}

/** Parses a valid scalar; returns undefined for objects and arrays. A longer string is truncated, so it matches no key's hash. */
function parse(text: Uint8Array, from: number, to: number): unknown {
  const isSimple = text[from] !== OPEN_OBJECT && text[from] !== OPEN_ARRAY;
  if (!isSimple) return undefined;
  const read = new TextDecoder().decode(text.subarray(from, Math.min(to, from + MAX_VALUE_BYTES)));
  return to - from > MAX_VALUE_BYTES ? read : JSON.parse(read);
}

function isAtEnd(text: Uint8Array, at: number): boolean {
  return skipSpace(text, at) === text.length;
}

// A scanner that finds where the parts of a JSON text start and end, as offsets of its UTF-8 bytes. It is as strict as `JSON.parse`
// but makes no values: memory and time depend only on the number of bytes, whatever their content.

/** Returned instead of an offset if the text is not JSON. */
export const MALFORMED = -1;

const QUOTE = 0x22;
export const COMMA = 0x2c;
const COLON = 0x3a;
export const OPEN_ARRAY = 0x5b;
export const CLOSE_ARRAY = 0x5d;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;

export const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const SMALL_E = 0x65;
const SMALL_U = 0x75;
const FIRST_PRINTABLE = 0x20;

const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");
const NULL = Buffer.from("null");
const SIMPLE_ESCAPES = new Set(Buffer.from('"\\/bfnrt'));

/** Returns the first offset from `at` on that is not white space. */
export function skipSpace(text: Uint8Array, at: number): number {
  let next = at;
  for (;;) {
    const byte = text[next];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return next;
    next++;
  }
}

/** Returns the end of the value that starts at `at`, or {@link MALFORMED}. */
export function endOfValue(text: Uint8Array, at: number): number {
  const byte = text[at];
  return byte === OPEN_OBJECT || byte === OPEN_ARRAY ? endOfNested(text, at) : endOfScalar(text, at);
}

/** Returns the start of the value of the member whose name starts at `at`, or {@link MALFORMED}. */
export function startOfMemberValue(text: Uint8Array, at: number): number {
  if (text[at] !== QUOTE) return MALFORMED;
  const nameEnd = endOfString(text, at);
  if (nameEnd === MALFORMED) return MALFORMED;
  const colon = skipSpace(text, nameEnd);
  return text[colon] === COLON ? skipSpace(text, colon + 1) : MALFORMED;
}

/** Returns the end of the string whose opening quote is at `at`, or {@link MALFORMED}. */
export function endOfString(text: Uint8Array, at: number): number {
  let next = at + 1;
  while (next < text.length) {
    const byte = text[next];
    if (byte === undefined || byte < FIRST_PRINTABLE) return MALFORMED;
    if (byte === QUOTE) return next + 1;
    if (byte === BACKSLASH) {
      next = endOfEscape(text, next + 1);
      if (next === MALFORMED) return MALFORMED;
    } else next++;
  }
  return MALFORMED;
}

/** `at` is the offset after the backslash. */
function endOfEscape(text: Uint8Array, at: number): number {
  const byte = text[at] ?? 0;
  if (SIMPLE_ESCAPES.has(byte)) return at + 1;
  if (byte !== SMALL_U) return MALFORMED;
  for (let digit = at + 1; digit <= at + 4; digit++) if (!isHexDigit(text[digit])) return MALFORMED;
  return at + 5;
}

/** 1 for each nesting level that is an object, 0 for an array. Reused by all calls, unless it has become large. */
let isObjectAt = new Uint8Array(256);

const MAX_KEPT_LEVELS = 4_096;

/** A loop, not a recursion, because clients control the depth. */
function endOfNested(text: Uint8Array, start: number): number {
  if (isObjectAt.length > MAX_KEPT_LEVELS) isObjectAt = new Uint8Array(MAX_KEPT_LEVELS);
  let depth = 0;
  let at = start;
  for (;;) {
    const byte = text[at];
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      const isObject = byte === OPEN_OBJECT;
      if (depth === isObjectAt.length) isObjectAt = doubled(isObjectAt);
      isObjectAt[depth++] = Number(isObject);
      at = skipSpace(text, at + 1);
      if (text[at] !== (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) {
        if (isObject) at = startOfMemberValue(text, at);
        if (at === MALFORMED) return MALFORMED;
        continue;
      }
    } else {
      at = endOfScalar(text, at);
      if (at === MALFORMED) return MALFORMED;
      at = skipSpace(text, at);
    }
    // After a value, or at the closing bracket of an empty object or array.
    for (;;) {
      const isObject = isObjectAt[depth - 1] === 1;
      if (text[at] === COMMA) {
        at = skipSpace(text, at + 1);
        if (isObject) at = startOfMemberValue(text, at);
        if (at === MALFORMED) return MALFORMED;
        break;
      }
      if (text[at] !== (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) return MALFORMED;
      at++;
      if (--depth === 0) return at;
      at = skipSpace(text, at);
    }
  }
}

function doubled(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}

function endOfScalar(text: Uint8Array, at: number): number {
  switch (text[at]) {
    case QUOTE:
      return endOfString(text, at);
    case TRUE[0]:
      return endOfLiteral(text, at, TRUE);
    case FALSE[0]:
      return endOfLiteral(text, at, FALSE);
    case NULL[0]:
      return endOfLiteral(text, at, NULL);
    default:
      return endOfNumber(text, at);
  }
}

function endOfLiteral(text: Uint8Array, at: number, literal: Uint8Array): number {
  for (let i = 1; i < literal.length; i++) if (text[at + i] !== literal[i]) return MALFORMED;
  return at + literal.length;
}

function endOfNumber(text: Uint8Array, start: number): number {
  let at = text[start] === MINUS ? start + 1 : start;
  at = text[at] === ZERO ? at + 1 : endOfDigits(text, at);
  if (at !== MALFORMED && text[at] === POINT) at = endOfDigits(text, at + 1);
  if (at === MALFORMED || ((text[at] ?? 0) | 0x20) !== SMALL_E) return at;
  const sign = text[at + 1];
  return endOfDigits(text, sign === PLUS || sign === MINUS ? at + 2 : at + 1);
}

/** Requires at least one digit. */
function endOfDigits(text: Uint8Array, start: number): number {
  let at = start;
  while (isDigit(text[at])) at++;
  return at === start ? MALFORMED : at;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= ZERO + 9;
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const small = byte | 0x20;
  return isDigit(byte) || (small >= 0x61 && small <= 0x66);
}
