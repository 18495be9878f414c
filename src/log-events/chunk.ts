import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { endOfValue } from "../specs/payload/json.ts";

/** Events of one group as one piece of text. No more than one request to upstream can carry, unless it is a single event. */
export interface EventChunk {
  readonly count: number;
  /** UTF-8 bytes of the events, without the commas between them. */
  readonly bytes: number;
  /** Whether `body` is compressed. */
  readonly zstd: boolean;
  /** The JSON texts of the events, each byte for byte as the SDK sent it, with a comma between two of them. */
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface ChunkLimits {
  readonly maxEvents: number;
  /** UTF-8 bytes of the events. */
  readonly maxBytes: number;
}

/** One request to upstream carries no more than this, unless a single event is larger. */
export const REQUEST_LIMITS: ChunkLimits = { maxEvents: 1_000, maxBytes: 1_000_000 };

/** The level that costs the least: 10 events come to a sixth in 6 µs, 1,000 to a twentieth in 120 µs. */
const FASTEST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Below it compression costs more than the memory that it saves. */
const MIN_COMPRESSED_BYTES = 512;

/** What an event chunk takes in memory beside its body: objects, the buffer's own records, places in lists. */
const CHUNK_OVERHEAD_BYTES = 512;

const COMMA = 0x2c;

/** Cuts events into chunks. `ranges` says by twos where each event begins in the text, and where it ends. */
export function cutChunks(
  text: Buffer,
  ranges: readonly number[],
  { maxEvents, maxBytes }: ChunkLimits = REQUEST_LIMITS,
): EventChunk[] {
  const chunks: EventChunk[] = [];
  let [first, bytes] = [0, 0];
  for (let at = 0; at < ranges.length; at += 2) {
    const size = (ranges[at + 1] ?? 0) - (ranges[at] ?? 0);
    const isFull = at - first === 2 * maxEvents || bytes + size > maxBytes;
    if (isFull && at > first) {
      chunks.push(chunkOf(text, ranges.slice(first, at), bytes));
      [first, bytes] = [at, 0];
    }
    bytes += size;
  }
  if (first < ranges.length) chunks.push(chunkOf(text, ranges.slice(first), bytes));
  return chunks;
}

function chunkOf(text: Buffer, ranges: readonly number[], bytes: number): EventChunk {
  const count = ranges.length / 2;
  const plain = new Uint8Array(bytes + count - 1);
  let end = 0;
  let [from, to] = [ranges[0] ?? 0, ranges[1] ?? 0];
  const copyRun = () => {
    end += text.copy(plain, end, from, to);
  };
  for (let at = 2; at < ranges.length; at += 2) {
    const [start = 0, stop = 0] = [ranges[at], ranges[at + 1]];
    // A single byte between two elements of an array is the comma.
    if (start !== to + 1) {
      copyRun();
      plain[end++] = COMMA;
      from = start;
    }
    to = stop;
  }
  copyRun();
  return { count, bytes, ...compressed(plain) };
}

function compressed(plain: Uint8Array<ArrayBuffer>): Pick<EventChunk, "zstd" | "body"> {
  if (plain.length >= MIN_COMPRESSED_BYTES) {
    const body = zstdCompressSync(plain, FASTEST);
    // A copy, since what zlib returns may be a small part of a large buffer.
    if (body.length < plain.length) return { zstd: true, body: new Uint8Array(body) };
  }
  return { zstd: false, body: plain };
}

/** The first `count` events, and the rest: there must be more than that. */
export function splitChunk(chunk: EventChunk, count: number): readonly [EventChunk, EventChunk] {
  const plain = plainText(chunk);
  let end = -1;
  for (let at = 0; at < count; at++) end = endOfValue(plain, end + 1);
  const bytes = end - (count - 1);
  return [
    { count, bytes, ...compressed(new Uint8Array(plain.subarray(0, end))) },
    {
      count: chunk.count - count,
      bytes: chunk.bytes - bytes,
      ...compressed(new Uint8Array(plain.subarray(end + 1))),
    },
  ];
}

/** The texts of the events, with a comma between two of them. */
export function plainText({ zstd, body }: EventChunk): Uint8Array {
  return zstd ? zstdDecompressSync(body) : body;
}

export const countEvents = (chunks: readonly EventChunk[]): number =>
  chunks.reduce((sum, { count }) => sum + count, 0);

/** UTF-8 bytes of the events. */
export const countBytes = (chunks: readonly EventChunk[]): number =>
  chunks.reduce((sum, { bytes }) => sum + bytes, 0);

/** Memory that the chunks take. */
export const heldBytes = (chunks: readonly EventChunk[]): number =>
  chunks.reduce((sum, { body }) => sum + body.byteLength + CHUNK_OVERHEAD_BYTES, 0);
