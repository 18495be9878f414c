import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { findProxy } from "../../process/proxies.ts";
import type { SendOptions } from "../requests.ts";

/** Whether requests can be sent by HTTP/2 over TLS. Others use `node:http2` without a proxy. */
export const FETCHES_HTTP2: boolean = false;

/**
 * Like `fetch`, on `node:http`: Deno's own always decompresses. No encoding is offered unless the headers do. The proxy is that of
 * the environment, and NODE_EXTRA_CA_CERTS is trusted. Rejects with the reason of the signal, or an error with a `code`.
 */
export async function sendRequest(url: string, options: SendOptions): Promise<Response> {
  options.signal.throwIfAborted();
  if (options.protocol === "http2")
    throw Object.assign(new Error("only HTTP/1.1 is supported"), { code: "HTTP2Unsupported" });
  for (;;) {
    const exchange = new Exchange(url, options);
    try {
      return await exchange.response;
    } catch (error) {
      options.signal.throwIfAborted();
      if (!exchange.mayRepeat) throw withFetchCode(error);
    }
  }
}

/** `proxyEnv` is missing in Bun's types. */
type AgentOptions = ConstructorParameters<typeof HttpsAgent>[0] & {
  readonly proxyEnv?: Readonly<Record<string, string>>;
};

/** The pools of connections by proxy; the empty text stands for none. */
const pools = new Map<string, { readonly http: Agent; readonly https: Agent }>();

function poolFor(proxy = "") {
  const options: AgentOptions = {
    keepAlive: true,
    ...(proxy !== "" && { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }),
  };
  const pool = pools.get(proxy) ?? { http: new Agent(options), https: new HttpsAgent(options) };
  pools.set(proxy, pool);
  return pool;
}

/** One attempt to send a request. */
class Exchange {
  readonly response: Promise<Response>;
  readonly #request: ClientRequest;
  readonly #isRepeatable: boolean;

  constructor(url: string, { method = "GET", headers, body, keepalive = true, signal, tls }: SendOptions) {
    const isTls = url.startsWith("https:");
    const pool = poolFor(withScheme(findProxy(url, process.env)));
    const agent = isTls ? pool.https : pool.http;
    const bytes =
      body === undefined ? undefined : Buffer.from(body instanceof Uint8Array ? body : String(body));
    this.#isRepeatable = bytes === undefined;
    this.#request = (isTls ? httpsRequest : httpRequest)(url, {
      method,
      agent,
      headers: {
        ...(body instanceof URLSearchParams && { "content-type": "application/x-www-form-urlencoded" }),
        ...(bytes !== undefined && { "content-length": bytes.length }),
        ...headers,
        // The agent closes the connection after the response.
        ...(!keepalive && { connection: "close" }),
      },
      ...tls,
      ...(isTls && { ALPNProtocols: ["http/1.1"] }),
    });
    // Otherwise Deno 2.9.6 sends a request again whose connection was used before and ends without a response, even if `destroy` ended it
    // (denoland/deno#36786): events would arrive twice.
    Object.assign(this.#request, { _retrying: true });
    this.response = this.#receive(signal, method === "HEAD");
    this.#request.end(bytes);
  }

  /** Whether the server may just have closed a connection that was idle, and the request may be sent twice. */
  get mayRepeat(): boolean {
    return this.#isRepeatable && this.#request.reusedSocket;
  }

  #receive(signal: AbortSignal, isHead: boolean): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const request = this.#request;
    const abort = () => void request.destroy(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    request.once("close", () => signal.removeEventListener("abort", abort));
    // Also after a response, without an effect.
    request.on("error", reject);
    request.once("response", (message) => {
      const { statusCode: status = 0, rawHeaders } = message;
      const headers = toHeaders(rawHeaders);
      const hasNoBody = isHead || status === 204 || status === 304;
      if (hasNoBody) message.resume();
      resolve(new Response(hasNoBody ? null : toBody(message, signal), { status, headers }));
    });
    return promise;
  }
}

function withScheme(proxy: string | undefined): string | undefined {
  return proxy === undefined || proxy.includes("://") ? proxy : `http://${proxy}`;
}

function toHeaders(raw: readonly string[]): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < raw.length; at += 2) headers.append(raw[at] ?? "", raw[at + 1] ?? "");
  return headers;
}

/** Reads no faster than its consumer. Fails if the response breaks off. */
function toBody(message: IncomingMessage, signal: AbortSignal): ReadableStream<Uint8Array> {
  // A stream that is over throws if it gets more, and what was read before may still arrive.
  let isOver = false;
  const over = (act: () => void) => {
    if (!isOver) act();
    isOver = true;
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      message.pause();
      message.on("data", (chunk: Uint8Array) => {
        if (isOver) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) message.pause();
      });
      message.once("end", () => over(() => controller.close()));
      message.on("error", (error) => over(() => controller.error(signal.aborted ? signal.reason : error)));
    },
    pull: () => void message.resume(),
    cancel: () => over(() => void message.destroy()),
  });
}

/** Codes that differ from those of Bun's `fetch`, which the callers know. */
function withFetchCode(error: unknown): unknown {
  const { code = "" } = error as NodeJS.ErrnoException;
  const known = code.startsWith("HPE_") ? "Malformed_HTTP_Response" : FETCH_CODES[code];
  return known === undefined ? error : Object.assign(error as Error, { code: known });
}

const FETCH_CODES: Readonly<Record<string, string>> = {
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "EPROTO",
};
