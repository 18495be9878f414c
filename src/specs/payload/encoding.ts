import type { Transform } from "node:stream";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { DECODES_ALL_FRAMES, isWholeBrotli } from "#runtime/decoding.ts";
import { GarbageLimit } from "../../platform/garbage-limit.ts";
import { describeTooLarge, PayloadRefused } from "./payload.ts";

const gzip = promisify(zlib.gzip);
const brotliCompress = promisify<zlib.InputType, zlib.BrotliOptions, Buffer>(zlib.brotliCompress);
const zstdCompress = promisify<zlib.InputType, zlib.ZstdOptions, Buffer>(zlib.zstdCompress);

type Bytes = Uint8Array<ArrayBuffer>;

interface DecoderOptions {
  readonly chunkSize: number;
  readonly maxOutputLength?: number;
}

interface Decoder {
  readonly stream: (options: DecoderOptions) => Transform & zlib.Zlib;
  readonly whole: (bytes: Bytes, options: DecoderOptions) => Promise<Buffer>;
  /** Detects truncation and trailing bytes that the decoder itself accepts. */
  readonly isComplete?: (bytes: Bytes, readBytes: number) => boolean | Promise<boolean>;
}

const gzipDecoder: Decoder = { stream: zlib.createGunzip, whole: promisify(zlib.gunzip) };
const brotliDecoder: Decoder = {
  stream: zlib.createBrotliDecompress,
  whole: promisify(zlib.brotliDecompress),
  isComplete: isWholeBrotli,
};

const DECODERS: Readonly<Partial<Record<string, Decoder>>> = {
  gzip: gzipDecoder,
  "x-gzip": gzipDecoder,
  deflate: { stream: zlib.createInflate, whole: promisify(zlib.inflate) },
  br: brotliDecoder,
  "statsig-br": brotliDecoder,
  zstd: {
    stream: zlib.createZstdDecompress,
    whole: promisify(zlib.zstdDecompress),
    isComplete: isCompleteZstd,
  },
};

/** Chunk size while the decoded length is counted. */
const COUNTED_CHUNK_BYTES = 256 * 1024;

/** Limit of counted chunks that the runtime has not freed yet. */
const MAX_COUNTED_GARBAGE_BYTES = 4 * 1024 * 1024;

/** The smallest chunk size that zlib accepts. */
const MIN_CHUNK_BYTES = 64;

/** A body whose decoded length is known. */
interface Decodable {
  readonly decodedBytes: number;
  /** Needs no memory besides the bytes it returns. */
  decode(): Promise<Bytes>;
}

/**
 * Checks a body with a Content-Encoding without keeping the decoded bytes. Throws {@link PayloadRefused} if the body is damaged,
 * truncated, or decodes to more than `maxBytes`; decoding stops there.
 *
 * A body is decoded twice. The first pass only counts, so that the second one can write into one buffer of the right size:
 * collecting chunks would take twice the memory, and more time than both passes.
 */
export async function inspectCoded(
  bytes: Bytes,
  contentEncoding: string,
  maxBytes: number,
): Promise<Decodable> {
  const isPlain = contentEncoding === "" || contentEncoding === "identity";
  const decoder = DECODERS[contentEncoding];
  if (!isPlain && decoder === undefined) {
    const shown = contentEncoding.slice(0, 40);
    throw new PayloadRefused("undecodable", `unexpected content encoding "${shown}"`);
  }
  if (bytes.length > maxBytes) throw new PayloadRefused("too_large", describeTooLarge(maxBytes));
  if (decoder === undefined) return { decodedBytes: bytes.length, decode: async () => bytes };
  const decodedBytes = await countDecoded(bytes, decoder, maxBytes).catch(() => undefined);
  if (decodedBytes === undefined) {
    throw new PayloadRefused("undecodable", `the body does not decode as ${contentEncoding}`);
  }
  if (decodedBytes > maxBytes) throw new PayloadRefused("too_large", describeTooLarge(maxBytes));
  return {
    decodedBytes,
    decode: async () => {
      const chunkSize = Math.max(decodedBytes, MIN_CHUNK_BYTES);
      return toOwned(await decoder.whole(bytes, { chunkSize, maxOutputLength: chunkSize }));
    },
  };
}

/** Stops as soon as there are more than `maxBytes`. Rejects if the body is truncated or damaged. */
async function countDecoded(bytes: Bytes, decoder: Decoder, maxBytes: number): Promise<number> {
  const stream = decoder.stream({ chunkSize: COUNTED_CHUNK_BYTES });
  const garbage = new GarbageLimit(MAX_COUNTED_GARBAGE_BYTES);
  let decodedBytes = 0;
  stream.end(bytes);
  for await (const chunk of stream) {
    decodedBytes += (chunk as Buffer).length;
    garbage.add((chunk as Buffer).length);
    // Leaving the loop destroys the stream.
    if (decodedBytes > maxBytes) return decodedBytes;
  }
  if ((await decoder.isComplete?.(bytes, stream.bytesWritten)) === false)
    throw new RangeError("bytes after the end");
  return decodedBytes;
}

/** A body that is encoded as statsig-br is, byte for byte, what Statsig's servers make of the same envelopes. */
type EncodedCoding = "gzip" | "br" | "zstd" | "statsig-br";

/**
 * Compression levels: 5 MB take about 45 ms (gzip 6), 72 ms (br 5) and 47 ms (zstd 8). The next levels would take seconds per
 * version to save a tenth of the size, and zstd 10 three times the memory to save a hundredth.
 */
export async function encode(bytes: Uint8Array, coding: EncodedCoding): Promise<Bytes> {
  const { constants } = zlib;
  switch (coding) {
    case "gzip":
      return toOwned(await gzip(bytes, { level: 6 }));
    case "br": {
      const params = {
        [constants.BROTLI_PARAM_QUALITY]: 5,
        // Half the memory of the default window, for the same size.
        [constants.BROTLI_PARAM_LGWIN]: 21,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      };
      return toOwned(await brotliCompress(bytes, { params }));
    }
    case "statsig-br": {
      const params = { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: 24 };
      return toOwned(await brotliCompress(bytes, { params }));
    }
    case "zstd": {
      const params = { [constants.ZSTD_c_compressionLevel]: 8, [constants.ZSTD_c_contentSizeFlag]: 1 };
      return toOwned(await zstdCompress(bytes, { params }));
    }
  }
}

/** A Buffer may be a view of a pool; bytes whose memory is freed must own all of it. */
function toOwned(buffer: Buffer): Bytes {
  const whole = buffer.byteOffset === 0 && buffer.byteLength === buffer.buffer.byteLength;
  return whole && buffer.buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer.buffer)
    : new Uint8Array(buffer);
}

/**
 * Returns whether the bytes are complete zstd frames and nothing else, by the lengths of their blocks (RFC 8878, 3.1.1); a single frame
 * if the runtime decodes no more. zstdDecompress accepts truncated input: it treats the end of the input as the end of the frame.
 */
function isCompleteZstd(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  do at = endOfZstdFrame(view, at);
  while (DECODES_ALL_FRAMES && at < view.byteLength);
  return at === view.byteLength;
}

/** Returns NaN if there is no frame at `start`. Throws a RangeError if the frame is truncated. */
function endOfZstdFrame(view: DataView, start: number): number {
  const magic = view.getUint32(start, true);
  if (magic >>> 4 === 0x184d2a5) return start + 8 + view.getUint32(start + 4, true);
  if (magic !== 0xfd2fb528) return Number.NaN;
  const descriptor = view.getUint8(start + 4);
  const isSingleSegment = (descriptor >> 5) & 1;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSizeBytes = [isSingleSegment, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = start + 5 + (1 - isSingleSegment) + dictionaryIdBytes + contentSizeBytes;
  for (let isLast = false; !isLast; ) {
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const isRepeatedByte = ((header >> 1) & 3) === 1;
    at += 3 + (isRepeatedByte ? 1 : header >> 3);
    isLast = (header & 1) === 1;
  }
  const hasChecksum = (descriptor & 4) !== 0;
  return at + (hasChecksum ? 4 : 0);
}
