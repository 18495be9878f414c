import { once } from "node:events";
import type { Http2ServerResponse } from "node:http2";
import { ANSWER_TIMEOUT_MS } from "./exchange.ts";
import type { NodeExchange } from "./node-exchange.ts";
import { contentOf, readUntilGone, slicesOf } from "./response-content.ts";

/**
 * Sends a web standard Response over HTTP/2. A slow client holds one slice of it, not a copy; one that has not taken
 * a slice for too long is cut. Rejects when the client goes.
 */
export async function sendHttp2Response(
  response: Response,
  to: Http2ServerResponse,
  { isHead, exchange }: { readonly isHead: boolean; readonly exchange: NodeExchange },
): Promise<void> {
  to.statusCode = response.status;
  response.headers.forEach((value, name) => void to.setHeader(name, value));
  const content = await contentOf(response);
  if (content.kind === "stream") {
    await writeAll(readUntilGone(content.stream, exchange.signal), to, exchange);
    return;
  }
  const { size } = content;
  // hono leaves the body of an answer to HEAD away, and with it its length.
  const isUntold = response.status === 304 || (isHead && size === 0);
  if (!isUntold && !response.headers.has("content-length")) to.setHeader("content-length", String(size));
  if (isHead || size === 0) to.end();
  else await writeAll(limited(slicesOf(content.content, false), exchange), to, exchange);
}

/** Not by `pipeline`, which would wait for the end of a request of which nobody wants the rest. */
async function writeAll(
  parts: AsyncIterable<Uint8Array>,
  to: Http2ServerResponse,
  { signal }: NodeExchange,
): Promise<void> {
  for await (const part of parts) {
    if (!to.write(part)) await once(to, "drain", { signal });
  }
  to.end();
}

async function* limited(
  slices: AsyncIterable<Uint8Array>,
  exchange: NodeExchange,
): AsyncGenerator<Uint8Array> {
  for await (const slice of slices) {
    exchange.limitTo(ANSWER_TIMEOUT_MS);
    yield slice;
  }
}
