import { gunzipSync } from "node:zlib";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import type { UpstreamRequest } from "../upstream/upstream-request.ts";

export type EventBody = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

/** One request with events, as upstream received it. */
export interface ForwardedBatch {
  readonly request: UpstreamRequest;
  readonly text: string;
  readonly events: readonly unknown[];
  readonly metadata: unknown;
}

export function decodeForwarded(request: UpstreamRequest): ForwardedBatch {
  const text = gunzipSync(request.body).toString();
  const { events, statsigMetadata: metadata } = JSON.parse(text) as {
    events: unknown[];
    statsigMetadata?: unknown;
  };
  return { request, text, events, metadata };
}

export interface EventRelay extends AsyncDisposable {
  readonly upstream: Upstream;
  readonly relay: RelayProcess;
  /** Every request with events that upstream received, whatever its response. */
  forwarded(sdkKey?: string): ForwardedBatch[];
  post(
    sdkKey: string,
    body: EventBody | object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Response>;
}

/** A relay that forwards its events to an upstream that records them. */
export async function startEventRelay(options: RelayOptions = {}): Promise<EventRelay> {
  await using stack = new AsyncDisposableStack();
  // An upstream that was passed in keeps running after this relay.
  const upstream = options.upstream ?? stack.use(await startUpstream());
  const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url, ...options.env };
  const relay = stack.use(await startRelayProcess({ mode: "http", ...options, upstream, env }));
  const owned = stack.move();
  return {
    upstream,
    relay,
    forwarded: (sdkKey) =>
      upstream.requests
        .filter(({ path, headers }) => {
          return path === "/v1/log_event" && (sdkKey === undefined || headers["statsig-api-key"] === sdkKey);
        })
        .map(decodeForwarded),
    post: (sdkKey, body, headers = {}) =>
      fetch(`${relay.httpUrl}/v1/log_event`, {
        method: "POST",
        body: isBody(body) ? body : JSON.stringify(body),
        headers: { "statsig-api-key": sdkKey, ...headers },
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function isBody(body: EventBody | object): body is EventBody {
  return typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
}
