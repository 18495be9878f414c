import type { Http2ServerRequest } from "node:http2";
import { isHost } from "./http1-request.ts";

/** What of a request's way is known when it is turned into the web standard's. */
interface Arrival {
  /** Aborted when the client goes. */
  readonly signal: AbortSignal;
  readonly hasArrived: boolean;
}

/** A request over HTTP/2 as the web standard has it. Throws a TypeError on one that that has not. */
export function webRequestOf(request: Http2ServerRequest, arrival: Arrival): Request {
  const { method = "GET", url = "/" } = request;
  const authority = request.authority || onlyHost(request);
  if (!isHost(authority)) throw new TypeError("a request must name a host");
  const isEmpty = arrival.hasArrived && request.stream.readableEnded;
  const hasBody = method !== "GET" && method !== "HEAD" && !isEmpty;
  return new Request(`https://${authority}${url.startsWith("/") ? url : "/"}`, {
    method,
    headers: headersOf(request),
    signal: arrival.signal,
    ...(hasBody && { body: bodyOf(request, arrival.signal), duplex: "half" }),
  });
}

/** For a client that sends Host in place of `:authority` (RFC 9113, 8.3.1). */
function onlyHost({ rawHeaders, headers: { host } }: Http2ServerRequest): string {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length;
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
    request.once("end", () => {
      if (isOver || gone.aborted) return;
      // A request that was reset ends as well; what came of it must not be taken for all of it.
      if (request.stream.rstCode) controller.error(new Error("the request was reset"));
      else controller.close();
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
