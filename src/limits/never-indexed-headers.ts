import http2, {
  type Http2SecureServer,
  type Http2Server,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";

/**
 * Keeps response headers and trailers of every stream out of HPACK's dynamic table. Bun's encoder fills that table
 * whatever size the peer allows it to have, and then refers to entries that the peer never stored: nginx, which allows
 * none, answers 502 to every second call on a connection. Headers that are marked as sensitive are sent in full, and as
 * no header of a connection gets into the table, nothing ever refers to it.
 */
export function neverIndexHeaders(server: Http2Server | Http2SecureServer): void {
  // Before all others, of which one may respond at once.
  server.prependListener("stream", (stream: ServerHttp2Stream) => {
    Object.assign(stream, NEVER_INDEXED);
  });
}

/** Shared by all streams: a closure for each would cost more than the headers do. */
const NEVER_INDEXED = {
  respond(
    this: ServerHttp2Stream,
    headers?: OutgoingHttpHeaders,
    options?: ServerStreamResponseOptions,
  ): void {
    prototypeOf(this).respond.call(this, marked(headers), options);
  },
  additionalHeaders(this: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
    prototypeOf(this).additionalHeaders.call(this, marked(headers));
  },
  sendTrailers(this: ServerHttp2Stream, trailers: OutgoingHttpHeaders): void {
    prototypeOf(this).sendTrailers.call(this, marked(trailers));
  },
};

/** Which `node:http2` adds by itself. */
const ADDED = [":status", "date"];

function marked(headers: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return { ...headers, [http2.sensitiveHeaders]: [...Object.keys(headers), ...ADDED] };
}

const prototypeOf = (stream: ServerHttp2Stream): ServerHttp2Stream => Object.getPrototypeOf(stream);
