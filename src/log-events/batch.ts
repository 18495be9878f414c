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

/** Places of events in a text, by twos: where each begins, and where it ends. */
type Ranges = number[];

/** What a log_event body says (WIRE 5): the events in the exact bytes in which they came. */
export interface ReadBatch {
  readonly kind: "read";
  /** UTF-8. */
  readonly text: Buffer;
  /** By twos: where each event begins in the text, and where it ends. */
  readonly ranges: readonly number[];
  /** The source text of `statsigMetadata`; empty if there is none. */
  readonly metadata: string;
}

interface BatchLimits {
  readonly maxEvents: number;
  /** UTF-8 bytes of `statsigMetadata`. */
  readonly maxMetadataBytes: number;
}

/** "malformed" is what is no JSON object with an array of `events`. */
type BatchReading = ReadBatch | { readonly kind: "malformed" | "too_many_events" | "metadata_too_large" };

const TOO_MANY_EVENTS = -2;

const MALFORMED_BATCH = { kind: "malformed" } as const;

/** Stops at the first event beyond the limit: what comes behind it is not looked at. */
export function readBatch(body: Uint8Array, { maxEvents, maxMetadataBytes }: BatchLimits): BatchReading {
  const text = asUtf8(body);
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
    const name = nameAt(text, at);
    // Of members with one name the last counts, as in JSON.parse.
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
  return isWhole && ranges !== undefined ? { kind: "read", text, ranges, metadata } : MALFORMED_BATCH;
}

/** Notes where the elements of the array at `start` are; returns where it ends. */
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

/** The name at `at` if it is one that is looked for: `"ev\u0065nts"` is `events`. Else an empty text. */
function nameAt(text: Buffer, at: number): string {
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

/** `statsigMetadata` with every character escaped. */
const MAX_NAME_BYTES = 6 * "statsigMetadata".length;

/** Without a byte order mark. Bytes that are no UTF-8 become U+FFFD: the batch is worth more than the character. */
function asUtf8(body: Uint8Array): Buffer {
  if (!isUtf8(body)) return Buffer.from(new TextDecoder().decode(body));
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const hasMark = text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf;
  return hasMark ? text.subarray(3) : text;
}
