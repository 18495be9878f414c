import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from "node:zlib";

export type DecodedBody =
  | { readonly kind: "decoded"; readonly bytes: Uint8Array }
  | { readonly kind: "malformed" }
  | { readonly kind: "too_large" };

/**
 * Undoes a request's Content-Encoding. No more than `maxBytes` are ever made: decompression stops there, so
 * that a bomb costs what an honest body costs.
 */
export function decodeBody(body: Uint8Array, contentEncoding: string, maxBytes: number): DecodedBody {
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
