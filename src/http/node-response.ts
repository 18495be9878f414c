import type { Http2ServerResponse } from "node:http2";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ANSWER_TIMEOUT_MS, type Exchange } from "./exchange.ts";
import { contentOf, slicesOf } from "./response-content.ts";

/**
 * Sends a web standard Response by `node:http2`. A slow client holds one slice of it, not a copy; one that has not taken
 * a slice for too long is cut.
 */
export async function sendHttp2Response(
  response: Response,
  to: Http2ServerResponse,
  { isHead, exchange }: { readonly isHead: boolean; readonly exchange: Exchange },
): Promise<void> {
  to.statusCode = response.status;
  response.headers.forEach((value, name) => {
    // HTTP/2 has no headers of the connection (RFC 9113, 8.2.2).
    if (name !== "connection") to.setHeader(name, value);
  });
  const content = await contentOf(response);
  if (content.kind === "stream") {
    await pipeline(Readable.from(content.stream), to);
    return;
  }
  const { blob } = content;
  // hono leaves the body of an answer to HEAD away, and with it its length.
  const isUntold = response.status === 304 || (isHead && blob.size === 0);
  if (!isUntold && !response.headers.has("content-length")) to.setHeader("content-length", String(blob.size));
  if (isHead || blob.size === 0) to.end();
  else await pipeline(Readable.from(limited(slicesOf(blob), exchange)), to);
}

async function* limited(slices: AsyncIterable<Uint8Array>, exchange: Exchange): AsyncGenerator<Uint8Array> {
  for await (const slice of slices) {
    exchange.limitTo(ANSWER_TIMEOUT_MS);
    yield slice;
  }
}
