import { isUtf8 } from "node:buffer";
import {
  BACKSLASH,
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COMMA,
  endOfString,
  endOfValue,
  MALFORMED,
  OPEN_ARRAY,
  OPEN_OBJECT,
  skipSpace,
  startOfMemberValue,
} from "../specs/payload/json.ts";

/** Two offsets into a text for each event: its start and its end. */
type Ranges = number[];

/** A parsed log_event body (docs/protocol.md, Log events). The events stay the exact bytes that the SDK sent. */
export interface ReadBatch {
  readonly kind: "read";
  /** UTF-8. */
  readonly text: Buffer;
  /** Two offsets into the text for each event: its start and its end. */
  readonly ranges: readonly number[];
  /** The JSON text of `statsigMetadata`; empty if the body has none. */
  readonly metadata: string;
}

interface BatchLimits {
  readonly maxEvents: number;
  /** UTF-8 bytes of `statsigMetadata`. */
  readonly maxMetadataBytes: number;
}

/** The body cannot be read. */
export interface MalformedBody {
  readonly kind: "malformed";
  /** `undecodable`: it is not in the coding that its Content-Encoding names. `no_events`: it has no array `events`. */
  readonly problem: "unknown_coding" | "undecodable" | "no_json_object" | "no_events";
}

type BatchReading = ReadBatch | MalformedBody | { readonly kind: "too_many_events" | "metadata_too_large" };

const TOO_MANY_EVENTS = -2;

const MALFORMED_BATCH = { kind: "malformed", problem: "no_json_object" } as const;

/** Finds the events in a body. Stops at the first event above the limit; the rest of the body is not checked then. */
export function readBatch(body: Uint8Array, { maxEvents, maxMetadataBytes }: BatchLimits): BatchReading {
  const text = toUtf8(body);
  let ranges: Ranges | undefined;
  let metadata = "";
  let at = skipSpace(text, 0);
  if (text[at] !== OPEN_OBJECT) return MALFORMED_BATCH;
  at = skipSpace(text, at + 1);
  for (let isFirst = true; text[at] !== CLOSE_OBJECT; isFirst = false) {
    if (!isFirst) {
      if (text[at] !== COMMA) return MALFORMED_BATCH;
      at = skipSpace(text, at + 1);
    }
    const start = startOfMemberValue(text, at);
    if (start === MALFORMED) return MALFORMED_BATCH;
    const name = readName(text, at);
    // The last of several members of one name counts, as in JSON.parse.
    if (name === "events") ranges = text[start] === OPEN_ARRAY ? [] : undefined;
    const end =
      name === "events" && ranges !== undefined
        ? readElements(text, start, ranges, maxEvents)
        : endOfValue(text, start);
    if (end === TOO_MANY_EVENTS) return { kind: "too_many_events" };
    if (end === MALFORMED) return MALFORMED_BATCH;
    if (name === "statsigMetadata") {
      if (end - start > maxMetadataBytes) return { kind: "metadata_too_large" };
      metadata = text.toString("utf8", start, end);
    }
    at = skipSpace(text, end);
  }
  const isWhole = skipSpace(text, at + 1) === text.length;
  if (!isWhole) return MALFORMED_BATCH;
  if (ranges === undefined) return { kind: "malformed", problem: "no_events" };
  return { kind: "read", text, ranges, metadata };
}

/** Appends the offsets of the elements of the array at `start` to `ranges`. Returns the end of the array. */
function readElements(text: Uint8Array, start: number, ranges: Ranges, maxEvents: number): number {
  let at = skipSpace(text, start + 1);
  if (text[at] === CLOSE_ARRAY) return at + 1;
  for (;;) {
    if (ranges.length === 2 * maxEvents) return TOO_MANY_EVENTS;
    const end = endOfValue(text, at);
    if (end === MALFORMED) return MALFORMED;
    ranges.push(at, end);
    at = skipSpace(text, end);
    if (text[at] === CLOSE_ARRAY) return at + 1;
    if (text[at] !== COMMA) return MALFORMED;
    at = skipSpace(text, at + 1);
  }
}

/** Returns the member name at `at`, or "" if it cannot be one of the two that count. Escapes are decoded: `"ev\u0065nts"` is `events`. */
function readName(text: Buffer, at: number): string {
  const end = endOfString(text, at);
  const length = end - at - 2;
  if (length > MAX_NAME_BYTES) return "";
  if (!NAME_LENGTHS.has(length) && !hasEscape(text, at, end)) return "";
  return String(JSON.parse(text.toString("utf8", at, end)));
}

function hasEscape(text: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (text[at] === BACKSLASH) return true;
  return false;
}

const NAME_LENGTHS = new Set(["events".length, "statsigMetadata".length]);

/** The length of `statsigMetadata` if every character is escaped. */
const MAX_NAME_BYTES = 6 * "statsigMetadata".length;

/** Removes a byte order mark. Invalid UTF-8 becomes U+FFFD: losing one character is better than rejecting the batch. */
function toUtf8(body: Uint8Array): Buffer {
  if (!isUtf8(body)) return Buffer.from(new TextDecoder().decode(body));
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const hasMark = text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf;
  return hasMark ? text.subarray(3) : text;
}
