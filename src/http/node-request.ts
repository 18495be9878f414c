import type { Http2ServerRequest } from "node:http2";

/** How many headers a client sent, those that are joined counted one by one. */
export function headerCount({ rawHeaders }: Http2ServerRequest): number {
  return rawHeaders.length / 2;
}

/** A request of `node:http2`, or of HTTP/1.1 on the same port, as the web standard has it. Throws on an impossible URL. */
export function webRequestOf(request: Http2ServerRequest, signal: AbortSignal): Request {
  const { method = "GET", url = "/" } = request;
  const authority = request.authority || onlyHost(request);
  // Who takes us for a proxy of another kind names a whole URL; all but its host counts.
  const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?]*/i, "");
  const hasBody = method !== "GET" && method !== "HEAD";
  return new Request(`https://${authority}${path}`, {
    method,
    headers: headersOf(request),
    signal,
    ...(hasBody && { body: bodyOf(request, signal), duplex: "half" }),
  });
}

/** Throws where there is none, or more than one: who stands between may go by another (RFC 9112, 3.2). */
function onlyHost({ rawHeaders, headers: { host }, httpVersion }: Http2ServerRequest): string {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length;
  if (hosts === 0 && httpVersion === "1.0") return "localhost";
  if (hosts !== 1 || !host) throw new TypeError("a request must have one Host");
  return host;
}

function headersOf({ headers: received }: Http2ServerRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(received)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const each of [value].flat()) headers.append(name, each);
  }
  return headers;
}

/** Read when it is asked for, until nobody wants more of it; how long it may be is for the reader to say. */
function bodyOf(request: Http2ServerRequest, gone: AbortSignal): ReadableStream<Uint8Array> {
  let isRead = false;
  let isOver = false;
  const read = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    gone.addEventListener("abort", () => controller.error(gone.reason), { once: true });
    // Also at the end of a request that was taken back.
    request.once("end", () => {
      if (!isOver && !gone.aborted) controller.close();
    });
    request.on("data", (chunk: Buffer<ArrayBuffer>) => {
      if (!isOver && !gone.aborted) controller.enqueue(chunk);
    });
  };
  return new ReadableStream(
    {
      pull(controller) {
        if (!isRead) read(controller);
        isRead = true;
      },
      cancel() {
        isOver = true;
        request.pause();
      },
    },
    { highWaterMark: 0 },
  );
}
