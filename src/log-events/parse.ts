import { hash } from "node:crypto";
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from "node:zlib";
import type { GarbageLimit } from "../platform/garbage-limit.ts";
import { type MalformedBody, type ReadBatch, readBatch } from "./batch.ts";
import { cutChunks, type EventChunk } from "./chunk.ts";
import { asObject, DIGEST_WORDS, identifyExposure, SeenDigests } from "./dedupe.ts";

/** A request's body as the client sent it. */
export interface RawBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly contentEncoding: string;
  readonly sdkKey: string;
  /** Limits the body both before and after decoding. */
  readonly maxBytes: number;
  readonly maxEvents: number;
  /** The number of exposures that are remembered; undefined if duplicates are forwarded. */
  readonly dedupeLimit: number | undefined;
}

export type BodyReading =
  | {
      readonly kind: "read";
      /** Each fits into one request to upstream. */
      readonly chunks: readonly EventChunk[];
      /** Exposures left out of the chunks, since this batch or an earlier one has them already. */
      readonly duplicates: number;
      readonly metadata: string;
      /** Digests of the exposures in the chunks, to be remembered once the batch is queued; undefined if there are none. */
      readonly digests: Uint32Array<ArrayBuffer> | undefined;
    }
  | MalformedBody
  | { readonly kind: "too_large" | "too_many_events" | "metadata_too_large" };

/** An SDK's metadata has a few hundred bytes. Each request to upstream carries it, and each group keeps it in memory. */
const MAX_METADATA_BYTES = 64 * 1024;

/** Longer events are not deduplicated: parsed, they could take twenty times their size in memory. */
const MAX_EXPOSURE_BYTES = 64 * 1024;

/** The most bytes that deflate makes of one: an estimate of what was decoded of a body before it was rejected. */
const MAX_DEFLATE_RATIO = 1_032;

const DIGEST_BYTES = 4 * DIGEST_WORDS;

/** The event names of both kinds of exposure end with it. */
const EXPOSURE_SUFFIX = Buffer.from("_exposure");
const BACKSLASH = 0x5c;

/**
 * Turns a request body into chunks of events: decodes it, checks it, and leaves out exposures that a bounded window of earlier
 * ones has already. Looking up and remembering are two steps: if exposures of a batch that the queue rejected counted as
 * seen, the SDK's retry would be dropped as a duplicate. Runs in a Worker, since it blocks its thread.
 */
export class BatchParser {
  #seen: SeenDigests | undefined;
  readonly #garbage: GarbageLimit;

  constructor(garbage: GarbageLimit) {
    this.#garbage = garbage;
  }

  parse({ body, contentEncoding, maxBytes, maxEvents, sdkKey, dedupeLimit }: RawBatch): BodyReading {
    const decoded = decodeBody(body, contentEncoding, maxBytes);
    const decodedBytes =
      decoded.kind === "decoded" ? decoded.bytes.byteLength : MAX_DEFLATE_RATIO * body.byteLength;
    // Twice: the decoder's output, and its copy in the chunks.
    this.#garbage.add(2 * Math.min(decodedBytes, maxBytes));
    if (decoded.kind !== "decoded") return decoded;
    const batch = readBatch(decoded.bytes, { maxEvents, maxMetadataBytes: MAX_METADATA_BYTES });
    if (batch.kind !== "read") return batch;
    const { text, metadata } = batch;
    if (dedupeLimit === undefined) {
      const chunks = cutChunks(text, batch.ranges);
      return { kind: "read", chunks, duplicates: 0, metadata, digests: undefined };
    }
    this.#seen ??= new SeenDigests(dedupeLimit);
    const { ranges, digests } = dropDuplicates(batch, sdkKey, this.#seen);
    const duplicates = (batch.ranges.length - ranges.length) / 2;
    return { kind: "read", chunks: cutChunks(text, ranges), duplicates, metadata, digests };
  }

  /** Returns true if this completed another turn of the window: everything in it has been evicted once more. */
  remember(digests: Uint32Array): boolean {
    return this.#seen?.addAll(digests) ?? false;
  }
}

interface UniqueEvents {
  readonly ranges: readonly number[];
  readonly digests: Uint32Array<ArrayBuffer> | undefined;
}

function dropDuplicates(batch: ReadBatch, sdkKey: string, seen: SeenDigests): UniqueEvents {
  const { text, metadata } = batch;
  const isCandidate = findCandidates(text);
  const stableId = metadata === "" ? undefined : asObject(JSON.parse(metadata))?.["stableID"];
  const context = { sdkKey, batchStableId: stableId };
  const ranges: number[] = [];
  const inBatch = new Set<string>();
  const words = new Uint32Array((batch.ranges.length / 2) * DIGEST_WORDS);
  const digests = Buffer.from(words.buffer);
  for (let at = 0; at < batch.ranges.length; at += 2) {
    const [start = 0, end = 0] = [batch.ranges[at], batch.ranges[at + 1]];
    const identity = isCandidate(start, end)
      ? identifyExposure(JSON.parse(text.toString("utf8", start, end)), context)
      : undefined;
    if (identity !== undefined) {
      const digest = hash("sha256", identity, "hex").slice(0, 2 * DIGEST_BYTES);
      digests.write(digest, inBatch.size * DIGEST_BYTES, "hex");
      if (inBatch.has(digest) || seen.has(words, inBatch.size)) continue;
      inBatch.add(digest);
    }
    ranges.push(start, end);
  }
  return { ranges, digests: inBatch.size === 0 ? undefined : words.slice(0, inBatch.size * DIGEST_WORDS) };
}

/**
 * Returns a test for events that may be exposures: they contain the suffix of the names, or a backslash, since an escape may
 * spell anything. Call it with the events in order.
 */
function findCandidates(text: Buffer): (start: number, end: number) => boolean {
  const [name, backslash] = [new Occurrences(text, EXPOSURE_SUFFIX), new Occurrences(text, BACKSLASH)];
  return (start, end) =>
    end - start <= MAX_EXPOSURE_BYTES && (name.from(start) < end || backslash.from(start) < end);
}

/** Finds the occurrences of a pattern in one pass through the text. */
class Occurrences {
  readonly #text: Buffer;
  readonly #pattern: Buffer | number;
  #next = -1;

  constructor(text: Buffer, pattern: Buffer | number) {
    this.#text = text;
    this.#pattern = pattern;
  }

  /** Returns the first occurrence at or after `start`, or Infinity. `start` must not decrease from call to call. */
  from(start: number): number {
    if (this.#next < start) {
      const found = this.#text.indexOf(this.#pattern, start);
      this.#next = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    return this.#next;
  }
}

type DecodedBody =
  | { readonly kind: "decoded"; readonly bytes: Uint8Array }
  | MalformedBody
  | { readonly kind: "too_large" };

/**
 * Decodes a request's Content-Encoding. Decompression stops after `maxBytes`, so that a decompression bomb costs no more than
 * an ordinary body.
 */
function decodeBody(body: Uint8Array, contentEncoding: string, maxBytes: number): DecodedBody {
  if (body.byteLength > maxBytes) return { kind: "too_large" };
  try {
    const bytes = decompress(body, contentEncoding.trim().toLowerCase(), { maxOutputLength: maxBytes });
    return bytes === undefined
      ? { kind: "malformed", problem: "unknown_coding" }
      : { kind: "decoded", bytes };
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    return isTooLarge ? { kind: "too_large" } : { kind: "malformed", problem: "undecodable" };
  }
}

function decompress(
  body: Uint8Array,
  coding: string,
  options: { readonly maxOutputLength: number },
): Uint8Array | undefined {
  switch (coding) {
    case "":
    case "identity":
      return body;
    case "gzip":
    case "x-gzip":
      return gunzipSync(body, options);
    case "deflate":
      return hasZlibHeader(body) ? inflateSync(body, options) : inflateRawSync(body, options);
    case "br":
      return brotliDecompressSync(body, options);
    case "zstd":
      // zstd does not fail for truncated input, but decodes less of it, which then is not valid JSON.
      return zstdDecompressSync(body, options);
    default:
      return undefined;
  }
}

/** "deflate" may be with or without a zlib header (RFC 9110, 8.4.1.2). RFC 1950, 2.2 defines the header. */
function hasZlibHeader([first = 0, second = 0]: Uint8Array): boolean {
  return (first & 0x0f) === 8 && ((first << 8) | second) % 31 === 0;
}
