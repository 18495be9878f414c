import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { findProxy } from "../../process/proxies.ts";
import type { SendOptions } from "../requests.ts";

/** Whether requests can be sent by HTTP/2 over TLS. Others use `node:http2` without a proxy. */
export const FETCHES_HTTP2: boolean = false;

/**
 * Like `fetch`, on `node:http`: Deno's own always decompresses. The proxy is that of the environment, and NODE_EXTRA_CA_CERTS is trusted.
 * Rejects with the reason of the signal, or an error with a `code`.
 */
export async function sendRequest(url: string, options: SendOptions): Promise<Response> {
  let [target, headers] = [url, options.headers];
  for (let redirects = 0; ; redirects++) {
    const response = await sendOnce(target, { ...options, ...(headers !== undefined && { headers }) });
    const next = options.redirect === "manual" ? undefined : findRedirect(response, target);
    if (next === undefined) return response;
    await response.body?.cancel();
    if (redirects === MAX_REDIRECTS) throw withCode("TooManyRedirects");
    if (next.origin !== new URL(target).origin) headers = withoutCredentials(headers);
    target = next.href;
  }
}

/** That of the Fetch standard. */
const MAX_REDIRECTS = 20;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Returns where a response redirects to, or undefined if it does not. Throws an error with the code that Bun's `fetch` has. */
function findRedirect({ status, headers }: Response, from: string): URL | undefined {
  const location = headers.get("location");
  if (!REDIRECTS.has(status) || location === null) return undefined;
  const to = URL.parse(location, from);
  if (to === null) throw withCode("RedirectURLInvalid");
  if (to.protocol !== "http:" && to.protocol !== "https:") throw withCode("UnsupportedRedirectProtocol");
  return to;
}

/** The headers that `fetch` does not send to another origin. */
const CREDENTIALS: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"]);

function withoutCredentials(headers: SendOptions["headers"] = {}): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.has(name.toLowerCase())));
}

/** Follows no redirects. */
async function sendOnce(url: string, options: SendOptions): Promise<Response> {
  options.signal.throwIfAborted();
  if (options.protocol === "http2") throw withCode("HTTP2Unsupported");
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

  constructor(url: string, { method = "GET", headers, body, keepalive = true, ...options }: SendOptions) {
    const { signal, tls, decompress = true } = options;
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
        ...(decompress && { "accept-encoding": "gzip, deflate, br" }),
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
    this.response = this.#receive(signal, { isHead: method === "HEAD", decompress });
    this.#request.end(bytes);
  }

  /** Whether the server may just have closed a connection that was idle, and the request may be sent twice. */
  get mayRepeat(): boolean {
    return this.#isRepeatable && this.#request.reusedSocket;
  }

  #receive(signal: AbortSignal, reading: Reading): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const request = this.#request;
    const abort = () => {
      // Before there is a connection, no event shows that the request is destroyed.
      reject(signal.reason);
      request.destroy(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    request.once("close", () => {
      signal.removeEventListener("abort", abort);
      // A response that switches to another protocol emits no other event.
      reject(withCode("ConnectionClosed"));
    });
    // Also after a response, without an effect.
    request.on("error", reject);
    request.once("response", (message) => {
      try {
        resolve(toResponse(message, signal, reading));
      } catch {
        reject(withCode("Malformed_HTTP_Response"));
        request.destroy();
      }
    });
    return promise;
  }
}

/** How a response is read. */
interface Reading {
  readonly isHead: boolean;
  readonly decompress: boolean;
}

/** The statuses of responses without a body, as Response has them. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** Throws if a Response cannot have the status. */
function toResponse(
  message: IncomingMessage,
  signal: AbortSignal,
  { isHead, decompress }: Reading,
): Response {
  const { statusCode: status = 0, rawHeaders } = message;
  const headers = toHeaders(rawHeaders);
  if (isHead || BODILESS.has(status)) {
    message.resume();
    return new Response(null, { status, headers });
  }
  const body = toBody(message, signal);
  return new Response(decompress ? decompressed(body, headers) : body, { status, headers });
}

/** The names of Content-Encoding, and those of DecompressionStream. */
const FORMATS: ReadonlyMap<string, ConstructorParameters<typeof DecompressionStream>[0]> = new Map([
  ["gzip", "gzip"],
  ["deflate", "deflate"],
  ["br", "brotli"],
]);

function decompressed(body: ReadableStream<Uint8Array<ArrayBuffer>>, headers: Headers) {
  const format = FORMATS.get(headers.get("content-encoding")?.trim().toLowerCase() ?? "");
  const isEmpty = headers.get("content-length") === "0";
  return format === undefined || isEmpty ? body : body.pipeThrough(new DecompressionStream(format));
}

function withScheme(proxy: string | undefined): string | undefined {
  return proxy === undefined || proxy.includes("://") ? proxy : `http://${proxy}`;
}

function toHeaders(raw: readonly string[]): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < raw.length; at += 2) headers.append(raw[at] ?? "", raw[at + 1] ?? "");
  return headers;
}

/** Reads no faster than its consumer. Fails if the response breaks off, and with the reason of the signal. */
function toBody(message: IncomingMessage, signal: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>> {
  // A stream that is over throws if it gets more, and what was read before may still arrive.
  let isOver = false;
  const over = (act: () => void) => {
    if (!isOver) act();
    isOver = true;
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      message.pause();
      message.on("data", (chunk: Uint8Array<ArrayBuffer>) => {
        if (isOver) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) message.pause();
      });
      const fail = (error: unknown) => over(() => controller.error(signal.aborted ? signal.reason : error));
      // A request that is destroyed drops what has arrived and is not read: that looks like the end.
      message.once("end", () => (signal.aborted ? fail(undefined) : over(() => controller.close())));
      message.on("error", fail);
    },
    pull: () => void message.resume(),
    cancel: () => over(() => void message.destroy()),
  });
}

/** Returns an error with a code of Bun's `fetch`, which the callers know. */
function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
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
