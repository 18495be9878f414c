import { isUtf8 } from "node:buffer";
import {
  CLOSE_OBJECT,
  COMMA,
  endOfString,
  endOfValue,
  MALFORMED,
  OPEN_ARRAY,
  OPEN_OBJECT,
  skipSpace,
  startOfMemberValue,
} from "./json-scan.ts";
import { type PayloadFacts, PayloadRefused, parseLcut } from "./payload.ts";

/** The members that are read; no name of theirs needs an escape. */
const WANTED: ReadonlySet<string> = new Set(["has_updates", "time", "hashed_sdk_key_used"]);

/** No value of those is longer. */
const MAX_VALUE_BYTES = 200;

/**
 * Reads a JSON config spec without making values of it: JSON.parse needs several times the size of the text. Throws
 * {@link PayloadRefused} if it is not one whole JSON object in UTF-8.
 */
export function readJsonFacts(bytes: Uint8Array): PayloadFacts {
  const members = isUtf8(bytes) ? readMembers(bytes) : undefined;
  if (members === undefined) throw new PayloadRefused("malformed", "the body is not a JSON object");
  const hash = members.get("hashed_sdk_key_used");
  return {
    hasUpdates: members.get("has_updates") !== false,
    lcut: parseLcut(members.get("time")),
    hashedSdkKey: typeof hash === "string" || typeof hash === "number" ? String(hash) : undefined,
  };
}

/** Of members that occur twice the last counts, as for JSON.parse. Undefined if the text is no JSON object. */
function readMembers(text: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  const members = new Map<string, unknown>();
  let at = skipSpace(text, 0);
  if (text[at] !== OPEN_OBJECT) return undefined;
  at = skipSpace(text, at + 1);
  if (text[at] === CLOSE_OBJECT) return isAtEnd(text, at + 1) ? members : undefined;
  for (;;) {
    const nameAt = at;
    const valueAt = startOfMemberValue(text, nameAt);
    const valueEnd = valueAt === MALFORMED ? MALFORMED : endOfValue(text, valueAt);
    if (valueEnd === MALFORMED) return undefined;
    const name = parse(text, nameAt, endOfString(text, nameAt));
    if (typeof name === "string" && WANTED.has(name)) members.set(name, parse(text, valueAt, valueEnd));
    at = skipSpace(text, valueEnd);
    if (text[at] === CLOSE_OBJECT) return isAtEnd(text, at + 1) ? members : undefined;
    if (text[at] !== COMMA) return undefined;
    at = skipSpace(text, at + 1);
  }
}

/** What was found to be JSON; undefined for what holds other values. A longer text is cut, and so is no key's hash. */
function parse(text: Uint8Array, from: number, to: number): unknown {
  const isSimple = text[from] !== OPEN_OBJECT && text[from] !== OPEN_ARRAY;
  if (!isSimple) return undefined;
  const read = new TextDecoder().decode(text.subarray(from, Math.min(to, from + MAX_VALUE_BYTES)));
  return to - from > MAX_VALUE_BYTES ? read : JSON.parse(read);
}

function isAtEnd(text: Uint8Array, at: number): boolean {
  return skipSpace(text, at) === text.length;
}
