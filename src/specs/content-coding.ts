import { promisify } from "node:util";
import zlib from "node:zlib";
import { MAX_PAYLOAD_BYTES, PayloadRefused } from "./payload.ts";
import { isWholeZstd } from "./zstd-frames.ts";

const gunzip = promisify(zlib.gunzip);
const inflate = promisify(zlib.inflate);
const brotliDecompress = promisify(zlib.brotliDecompress);
const zstdDecompress = promisify(zlib.zstdDecompress);
const gzip = promisify(zlib.gzip);
const brotliCompress = promisify<zlib.InputType, zlib.BrotliOptions, Buffer>(zlib.brotliCompress);
const zstdCompress = promisify<zlib.InputType, zlib.ZstdOptions, Buffer>(zlib.zstdCompress);

type Bytes = Uint8Array<ArrayBuffer>;

/** Undoes a Content-Encoding. Throws {@link PayloadRefused} where the bytes are damaged, cut short or too many. */
export async function decode(bytes: Bytes, contentEncoding: string): Promise<Bytes> {
  const bound = { maxOutputLength: MAX_PAYLOAD_BYTES };
  try {
    switch (contentEncoding) {
      case "":
      case "identity":
        return bytes;
      case "gzip":
      case "x-gzip":
        return owned(await gunzip(bytes, bound));
      case "deflate":
        return owned(await inflate(bytes, bound));
      case "br":
      case "statsig-br":
        return owned(await brotliWhole(bytes, bound));
      case "zstd":
        if (!isWholeZstd(bytes)) throw new RangeError("no whole frames");
        return owned(await zstdDecompress(bytes, bound));
    }
  } catch (error) {
    throw decodingRefused(error, contentEncoding);
  }
  throw new PayloadRefused(
    "undecodable",
    `the content encoding "${contentEncoding.slice(0, 40)}" was not asked for`,
  );
}

async function brotliWhole(bytes: Bytes, bound: zlib.BrotliOptions): Promise<Buffer> {
  const result: unknown = await brotliDecompress(bytes, { ...bound, info: true });
  const { buffer, engine } = result as { buffer: Buffer; engine: { bytesWritten: number } };
  if (engine.bytesWritten !== bytes.length) throw new RangeError("bytes behind the end");
  return buffer;
}

function decodingRefused(error: unknown, contentEncoding: string): PayloadRefused {
  if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
    return new PayloadRefused("too_large", `the body decodes to more than ${MAX_PAYLOAD_BYTES} bytes`);
  }
  return new PayloadRefused("undecodable", `the body does not decode as ${contentEncoding}`);
}

/**
 * Levels: of 5 MB, about 65 ms at 3.1 to 1 (gzip 6), 125 ms at 3.3 (br 5), 123 ms at 3.3 (zstd 10). The
 * next steps cost seconds a version for a tenth of the size.
 */
export async function encode(bytes: Bytes, coding: "gzip" | "br" | "zstd"): Promise<Bytes> {
  const { constants } = zlib;
  switch (coding) {
    case "gzip":
      return owned(await gzip(bytes, { level: 6 }));
    case "br": {
      const params = {
        [constants.BROTLI_PARAM_QUALITY]: 5,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      };
      return owned(await brotliCompress(bytes, { params }));
    }
    case "zstd": {
      const params = { [constants.ZSTD_c_compressionLevel]: 10, [constants.ZSTD_c_contentSizeFlag]: 1 };
      return owned(await zstdCompress(bytes, { params }));
    }
  }
}

/** A Buffer may be a window on a pool; what crosses to another thread must own all of its memory. */
function owned(buffer: Buffer): Bytes {
  const whole = buffer.byteOffset === 0 && buffer.byteLength === buffer.buffer.byteLength;
  return whole && buffer.buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer.buffer)
    : new Uint8Array(buffer);
}
