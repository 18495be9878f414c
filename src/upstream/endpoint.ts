import { FETCHES_HTTP2, sendRequest } from "#runtime/requests.ts";
import { Http2Client } from "./http2-client.ts";
import { DEFAULT_LIMITS, type TimeLimits } from "./time-limit.ts";

export interface UpstreamRequest {
  /** `GET` by default; `POST` with a body. */
  readonly method?: "HEAD";
  /** Begins with a slash. May contain an SDK key: do not log it. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface UpstreamPost extends UpstreamRequest {
  readonly body: string | Uint8Array<ArrayBuffer>;
}

interface UpstreamOptions {
  /** Scheme, host, port and optional path prefix, as in `STATSIG_ENDPOINT`. */
  readonly baseUrl: string;
  /** Sent as `x-sfp-version`, by which upstream recognizes a forward proxy (docs/protocol.md, Upstream requests). */
  readonly relayVersion: string;
  /** Whether requests go through HTTP_PROXY or HTTPS_PROXY. */
  readonly proxied: boolean;
  /** The limits of each request; by default {@link DEFAULT_LIMITS}. */
  readonly limits?: TimeLimits;
  /** Whether a connection is used for more than one request; by default it is. */
  readonly reusesConnections?: boolean;
  /** Called when a request is sent; returns headers to add to its own. */
  readonly carries?: () => Readonly<Record<string, string>> | undefined;
}

/** What a request led to: a response, or the error that `fetch` rejected with. */
type Attempt = Response | { readonly error: unknown };

/**
 * Sends requests to one upstream, which is Statsig's CDN or another relay, over pooled connections: HTTP/1.1, or HTTP/2 if
 * upstream supports nothing else.
 */
export class UpstreamEndpoint {
  readonly limits: TimeLimits;
  /** Has no trailing slash. May contain a password: do not log it. */
  readonly baseUrl: string;
  readonly #ownHeaders: Readonly<Record<string, string>>;
  /** Whether requests go through a proxy. */
  readonly proxied: boolean;
  readonly #reusesConnections: boolean;
  readonly #carries: () => Readonly<Record<string, string>> | undefined;
  readonly #http2Client: Http2Client;
  #http2 = false;
  /** Whether the last request got a response by the current protocol. */
  #lastSucceeded = false;

  constructor({ relayVersion, proxied, ...options }: UpstreamOptions) {
    this.baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.#ownHeaders = createOwnHeaders(relayVersion);
    this.proxied = proxied;
    this.limits = options.limits ?? DEFAULT_LIMITS;
    this.#reusesConnections = options.reusesConnections ?? true;
    this.#carries = options.carries ?? (() => undefined);
    const { origin } = new URL(this.baseUrl);
    this.#http2Client = new Http2Client({ origin, reusesConnections: this.#reusesConnections });
  }

  /** The address to connect to; undefined if a proxy connects. */
  get address(): { readonly host: string; readonly port: number } | undefined {
    if (this.proxied) return undefined;
    const url = new URL(this.baseUrl);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    return { host, port: Number(url.port) || (url.protocol === "https:" ? 443 : 80) };
  }

  /** Returns the response with its body not decompressed; sends that of the request unchanged. Rejects as `fetch` does. */
  async send(request: UpstreamRequest | UpstreamPost, signal: AbortSignal): Promise<Response> {
    const http2 = this.#http2;
    const attempt = await this.#try(request, signal, http2);
    const mayNeedOther = !signal.aborted && this.#mayNeedOtherProtocol(attempt, http2);
    this.#lastSucceeded = attempt instanceof Response && !mayNeedOther;
    if (!mayNeedOther) return unwrap(attempt);
    const other = await this.#try(request, signal, !http2);
    if (!(other instanceof Response) || isOtherVersion(other)) {
      // Over TLS the second error says more: that HTTP/2 is impossible through a proxy, for example.
      return unwrap(this.#isPlaintext ? attempt : other);
    }
    // Switch only after a success: a request can fail for many reasons.
    this.#http2 = !http2;
    this.#lastSucceeded = true;
    if (attempt instanceof Response) await attempt.body?.cancel();
    return other;
  }

  async #try(request: UpstreamRequest | UpstreamPost, signal: AbortSignal, http2: boolean): Promise<Attempt> {
    try {
      return await this.#fetch(request, signal, http2);
    } catch (error) {
      return { error };
    }
  }

  #fetch(request: UpstreamRequest | UpstreamPost, signal: AbortSignal, http2: boolean): Promise<Response> {
    const url = `${this.baseUrl}${request.path}`;
    const headers = { ...this.#carries(), ...request.headers, ...this.#ownHeaders };
    const body = "body" in request ? request.body : undefined;
    const method = body === undefined ? (request.method ?? "GET") : "POST";
    if (http2 && (this.#isPlaintext || (!FETCHES_HTTP2 && !this.proxied))) {
      const { pathname, search } = new URL(url);
      return this.#http2Client.send({ method, path: `${pathname}${search}`, headers, body }, signal);
    }
    return sendRequest(url, {
      method,
      ...(body !== undefined && { body }),
      headers,
      signal,
      decompress: false,
      keepalive: this.#reusesConnections,
      // Do not follow redirects: the URL contains the SDK key.
      redirect: "manual",
      ...(http2 && { protocol: "http2" }),
    });
  }

  get #isPlaintext(): boolean {
    return this.baseUrl.startsWith("http:");
  }

  #mayNeedOtherProtocol(attempt: Attempt, http2: boolean): boolean {
    if (attempt instanceof Response) return this.#isPlaintext && !this.proxied && isOtherVersion(attempt);
    const code = codeOf(attempt.error);
    // A server without HTTP/1.1 ends the TLS handshake; one without HTTP/2 is reported by other codes.
    if (!this.#isPlaintext) return http2 ? WITHOUT_HTTP2.has(code) : code === "EPROTO";
    if (this.proxied) return false;
    // In plaintext, a server of the other protocol answers with bytes that make no sense, or closes the connection. One that
    // has responded before may just be restarting.
    const isSenseless = http2 ? code === "ERR_HTTP2_ERROR" : code === "Malformed_HTTP_Response";
    const isClosed = code === "ECONNRESET" || code === "ERR_HTTP2_SESSION_ERROR";
    return isSenseless || (isClosed && !this.#lastSucceeded);
  }
}

/** Returns the headers by which upstream recognizes a forward proxy. */
export function createOwnHeaders(relayVersion: string): Readonly<Record<string, string>> {
  return { "user-agent": `statsig-forward-proxy/${relayVersion}`, "x-sfp-version": relayVersion };
}

/** Bun's own code, and those of `node:http2`. */
const WITHOUT_HTTP2: ReadonlySet<string> = new Set([
  ...["HTTP2Unsupported", "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "ERR_HTTP2_ERROR"],
]);

/** 505: the server supports HTTP, but not the version of the request. */
const isOtherVersion = ({ status }: Response): boolean => status === 505;

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}

function unwrap(attempt: Attempt): Response {
  if (attempt instanceof Response) return attempt;
  throw attempt.error;
}

/**
 * Reads the body. Returns undefined, and stops reading, once it is longer than `maxBytes`. `received` is called with the length
 * of each chunk.
 */
export async function readBody(
  response: Response,
  maxBytes: number,
  received: (bytes: number) => void = () => {},
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const announced = Number(response.headers.get("content-length") ?? 0);
  if (announced > maxBytes) {
    await response.body?.cancel();
    return undefined;
  }
  // Read into one buffer, of the right length if that was announced: collecting chunks would take twice the memory.
  let buffer = new Uint8Array(Math.max(0, announced) || FIRST_BYTES);
  let length = 0;
  for await (const chunk of response.body ?? []) {
    received(chunk.byteLength);
    const end = length + chunk.byteLength;
    if (end > maxBytes) return undefined;
    if (end > buffer.length) buffer = resized(buffer, Math.min(maxBytes, Math.max(end, 2 * buffer.length)));
    buffer.set(chunk, length);
    length = end;
  }
  return length === buffer.length ? buffer : resized(buffer.subarray(0, length), length);
}

/** Initial buffer size for a body of unknown length. */
const FIRST_BYTES = 16 * 1024;

function resized(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(length);
  copy.set(bytes);
  return copy;
}
