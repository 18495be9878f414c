import { hash } from "node:crypto";
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from "node:zlib";
import type { GarbageLimit } from "../platform/garbage-limit.ts";
import { type ReadBatch, readBatch } from "./batch.ts";
import { cutChunks, type EventChunk } from "./chunk.ts";
import { DIGEST_WORDS, exposureIdentity, fieldsOf, SeenDigests } from "./dedupe.ts";

/** A request's body as it came. */
export interface RawBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly contentEncoding: string;
  readonly sdkKey: string;
  /** Before and after decoding. */
  readonly maxBytes: number;
  readonly maxEvents: number;
  /** How many exposures are remembered; undefined if repeats are forwarded as well. */
  readonly dedupeLimit: number | undefined;
}

export type BodyReading =
  | {
      readonly kind: "read";
      /** Cut to what one request to upstream can carry. */
      readonly chunks: readonly EventChunk[];
      /** Exposures that came before, in this batch or an earlier one; they are in none of the chunks. */
      readonly repeats: number;
      readonly metadata: string;
      /** Of the exposures in the chunks, to be remembered once they are kept; undefined if there are none. */
      readonly digests: Uint32Array<ArrayBuffer> | undefined;
    }
  | { readonly kind: "malformed" | "too_large" | "too_many_events" | "metadata_too_large" };

/** That of an SDK has a few hundred bytes. Each request to upstream carries it, and each group holds it. */
const MAX_METADATA_BYTES = 64 * 1024;

/** What is longer is not compared with others: parsed it could take twenty times as much memory. */
const MAX_EXPOSURE_BYTES = 64 * 1024;

/** What a body may have been decoded to that turned out to be none: deflate makes no more of it. */
const MAX_RATIO = 1_032;

const DIGEST_BYTES = 4 * DIGEST_WORDS;

/** Both names of exposures end so. */
const EXPOSURE = Buffer.from("_exposure");
const BACKSLASH = 0x5c;

/**
 * From bytes to chunks of events: decodes, checks, leaves out repeats. It knows which exposures came before, in a
 * bounded window. Asking and remembering are two steps: what the queue did not take must not count as seen, or the
 * SDK's next try would be taken for a repeat and lost. Runs in a thread that serves nobody.
 */
export class EventReader {
  #seen: SeenDigests | undefined;
  readonly #garbage: GarbageLimit;

  constructor(garbage: GarbageLimit) {
    this.#garbage = garbage;
  }

  read({ body, contentEncoding, maxBytes, maxEvents, sdkKey, dedupeLimit }: RawBatch): BodyReading {
    const decoded = decodeBody(body, contentEncoding, maxBytes);
    const made = decoded.kind === "decoded" ? decoded.bytes.byteLength : MAX_RATIO * body.byteLength;
    // Once as it came out of the decoder, once as it goes into chunks.
    this.#garbage.add(2 * Math.min(made, maxBytes));
    if (decoded.kind !== "decoded") return decoded;
    const batch = readBatch(decoded.bytes, { maxEvents, maxMetadataBytes: MAX_METADATA_BYTES });
    if (batch.kind !== "read") return batch;
    const { text, metadata } = batch;
    if (dedupeLimit === undefined) {
      return {
        kind: "read",
        chunks: cutChunks(text, batch.ranges),
        repeats: 0,
        metadata,
        digests: undefined,
      };
    }
    this.#seen ??= new SeenDigests(dedupeLimit);
    const { ranges, digests } = withoutRepeats(batch, sdkKey, this.#seen);
    const repeats = (batch.ranges.length - ranges.length) / 2;
    return { kind: "read", chunks: cutChunks(text, ranges), repeats, metadata, digests };
  }

  /** Returns whether with these the whole window has been replaced once more. */
  remember(digests: Uint32Array): boolean {
    return this.#seen?.addAll(digests) ?? false;
  }
}

interface Unrepeated {
  readonly ranges: readonly number[];
  readonly digests: Uint32Array<ArrayBuffer> | undefined;
}

function withoutRepeats(batch: ReadBatch, sdkKey: string, seen: SeenDigests): Unrepeated {
  const { text, metadata } = batch;
  const isCandidate = possibleExposures(text);
  const stableId = metadata === "" ? undefined : fieldsOf(JSON.parse(metadata))?.["stableID"];
  const context = { sdkKey, batchStableId: stableId };
  const ranges: number[] = [];
  const here = new Set<string>();
  const words = new Uint32Array((batch.ranges.length / 2) * DIGEST_WORDS);
  const digests = Buffer.from(words.buffer);
  for (let at = 0; at < batch.ranges.length; at += 2) {
    const [start = 0, end = 0] = [batch.ranges[at], batch.ranges[at + 1]];
    const identity = isCandidate(start, end)
      ? exposureIdentity(JSON.parse(text.toString("utf8", start, end)), context)
      : undefined;
    if (identity !== undefined) {
      const digest = hash("sha256", identity, "hex").slice(0, 2 * DIGEST_BYTES);
      digests.write(digest, here.size * DIGEST_BYTES, "hex");
      if (here.has(digest) || seen.has(words, here.size)) continue;
      here.add(digest);
    }
    ranges.push(start, end);
  }
  return { ranges, digests: here.size === 0 ? undefined : words.slice(0, here.size * DIGEST_WORDS) };
}

/** Which events may be exposures: those that name one, or hold an escape, which may spell anything. To be asked in order. */
function possibleExposures(text: Buffer): (start: number, end: number) => boolean {
  const [name, backslash] = [new Occurrences(text, EXPOSURE), new Occurrences(text, BACKSLASH)];
  return (start, end) =>
    end - start <= MAX_EXPOSURE_BYTES && (name.from(start) < end || backslash.from(start) < end);
}

/** Finds the places of something one after the other, going through the text once. */
class Occurrences {
  readonly #text: Buffer;
  readonly #what: Buffer | number;
  #next = -1;

  constructor(text: Buffer, what: Buffer | number) {
    this.#text = text;
    this.#what = what;
  }

  /** The first from `start` on, which never goes back. */
  from(start: number): number {
    if (this.#next < start) {
      const found = this.#text.indexOf(this.#what, start);
      this.#next = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    return this.#next;
  }
}

type DecodedBody =
  | { readonly kind: "decoded"; readonly bytes: Uint8Array }
  | { readonly kind: "malformed" }
  | { readonly kind: "too_large" };

/**
 * Undoes a request's Content-Encoding. No more than `maxBytes` are ever made: decompression stops there, so
 * that a bomb costs what an honest body costs.
 */
function decodeBody(body: Uint8Array, contentEncoding: string, maxBytes: number): DecodedBody {
  if (body.byteLength > maxBytes) return { kind: "too_large" };
  try {
    const bytes = decompress(body, contentEncoding.trim().toLowerCase(), { maxOutputLength: maxBytes });
    return bytes === undefined ? { kind: "malformed" } : { kind: "decoded", bytes };
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    return { kind: isTooLarge ? "too_large" : "malformed" };
  }
}

function decompress(
  body: Uint8Array,
  coding: string,
  bound: { readonly maxOutputLength: number },
): Uint8Array | undefined {
  switch (coding) {
    case "":
    case "identity":
      return body;
    case "gzip":
    case "x-gzip":
      return gunzipSync(body, bound);
    case "deflate":
      return hasZlibHeader(body) ? inflateSync(body, bound) : inflateRawSync(body, bound);
    case "br":
      return brotliDecompressSync(body, bound);
    case "zstd":
      // What is cut short decodes to less without an error here; it is no JSON then.
      return zstdDecompressSync(body, bound);
    default:
      return undefined;
  }
}

/** Clients mean either by "deflate" (RFC 9110, 8.4.1.2); RFC 1950, 2.2 tells them apart. */
function hasZlibHeader([first = 0, second = 0]: Uint8Array): boolean {
  return (first & 0x0f) === 8 && ((first << 8) | second) % 31 === 0;
}
