import type { IncomingMessage } from "node:http";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";

const maxBodyBytes = 16 * 1024 * 1024;

/** The request's body, or undefined where it is too large. */
export async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    // What is too much is still read, so that the client gets its answer rather than a reset.
    if (bytes <= maxBodyBytes) chunks.push(chunk);
  }
  return bytes <= maxBodyBytes ? Buffer.concat(chunks) : undefined;
}

function decode(body: Buffer, coding: string): Buffer {
  const limit = { maxOutputLength: maxBodyBytes };
  switch (coding) {
    case "gzip":
      return gunzipSync(body, limit);
    case "br":
      return brotliDecompressSync(body, limit);
    case "zstd":
      return zstdDecompressSync(body, limit);
    default:
      return body;
  }
}

/** How many events a log_event body holds; undefined where it can't be read as one. */
export function countEvents(body: Buffer, coding: string): number | undefined {
  try {
    const batch: unknown = JSON.parse(decode(body, coding).toString());
    const named = typeof batch === "object" && batch !== null && "events" in batch ? batch.events : undefined;
    return Array.isArray(named) ? named.length : undefined;
  } catch {
    return undefined;
  }
}
