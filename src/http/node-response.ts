import type { Http2ServerResponse } from "node:http2";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ANSWER_TIMEOUT_MS, type Exchange } from "./exchange.ts";

/** Larger ones, beyond HTTP/2's default window, make Bun's node:http2 stall for seconds. */
const SLICE_BYTES = 64 * 1024;

/** Of RPCs that may be streams: they have no length, and no end that could be waited for. */
const STREAMED = /^application\/(connect\+|grpc-web)/;

/**
 * Sends a web standard Response by `node:http2`. A slow client holds one slice of it, not a copy; one that has not taken
 * a slice for too long is cut.
 */
export async function sendResponse(
  response: Response,
  to: Http2ServerResponse,
  { isHead, exchange }: { readonly isHead: boolean; readonly exchange: Exchange },
): Promise<void> {
  to.statusCode = response.status;
  response.headers.forEach((value, name) => void to.setHeader(name, value));
  if (STREAMED.test(response.headers.get("content-type") ?? "") && response.body !== null) {
    await pipeline(Readable.from(response.body), to);
    return;
  }
  // No copy: what was made of a Blob is that Blob.
  const blob = await response.blob();
  // hono leaves the body of an answer to HEAD away, and with it its length.
  const isUntold = response.status === 304 || (isHead && blob.size === 0);
  if (!isUntold && !response.headers.has("content-length")) to.setHeader("content-length", String(blob.size));
  if (isHead || blob.size === 0) to.end();
  else await pipeline(Readable.from(slicesOf(blob, exchange)), to);
  if (response.headers.get("connection") === "close") to.req.socket.end();
}

async function* slicesOf(blob: Blob, exchange: Exchange): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < blob.size; at += SLICE_BYTES) {
    exchange.limitTo(ANSWER_TIMEOUT_MS);
    yield new Uint8Array(await blob.slice(at, at + SLICE_BYTES).arrayBuffer());
  }
}
