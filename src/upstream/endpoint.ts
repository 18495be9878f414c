export interface UpstreamRequest {
  /** `GET` by default; `POST` with a body. */
  readonly method?: "HEAD";
  /** Begins with a slash. May contain an SDK key: do not log it. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface UpstreamPost extends UpstreamRequest {
  readonly body: string | Uint8Array<ArrayBuffer>;
}

interface UpstreamOptions {
  /** Scheme, host, port and optional path prefix, as in `STATSIG_ENDPOINT`. */
  readonly baseUrl: string;
  /** Sent as `x-sfp-version`, by which upstream recognizes a forward proxy (docs/protocol.md, Upstream requests). */
  readonly relayVersion: string;
  /** Whether requests go through HTTP_PROXY or HTTPS_PROXY. */
  readonly proxied: boolean;
  /** Called when a request is sent; returns headers to add to its own. */
  readonly carries?: () => Readonly<Record<string, string>> | undefined;
}

/**
 * Sends requests to one upstream, which is Statsig's CDN or another relay, over pooled connections: HTTP/1.1, or HTTP/2 if
 * upstream supports nothing else.
 */
export class UpstreamEndpoint {
  readonly #baseUrl: string;
  readonly #relayVersion: string;
  readonly #proxied: boolean;
  readonly #carries: () => Readonly<Record<string, string>> | undefined;
  #http2 = false;

  constructor(options: UpstreamOptions) {
    this.#baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.#relayVersion = options.relayVersion;
    this.#proxied = options.proxied;
    this.#carries = options.carries ?? (() => undefined);
  }

  /** The address to connect to; undefined if a proxy connects. */
  get address(): { readonly host: string; readonly port: number } | undefined {
    if (this.#proxied) return undefined;
    const url = new URL(this.#baseUrl);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    return { host, port: Number(url.port) || (url.protocol === "https:" ? 443 : 80) };
  }

  /** Returns the response with its body not decompressed. Rejects as `fetch` does. */
  get(request: UpstreamRequest, signal: AbortSignal): Promise<Response> {
    return this.#send(request, signal);
  }

  /** As {@link get}. Sends the body unchanged. */
  post(request: UpstreamPost, signal: AbortSignal): Promise<Response> {
    return this.#send(request, signal);
  }

  async #send(request: UpstreamRequest | UpstreamPost, signal: AbortSignal): Promise<Response> {
    const http2 = this.#http2;
    try {
      return await this.#fetch(request, signal, http2);
    } catch (error) {
      if (!this.#mayNeedOtherProtocol(error, http2)) throw error;
      const response = await this.#fetch(request, signal, !http2);
      // Switch only after a success: a handshake can fail for many reasons.
      this.#http2 = !http2;
      return response;
    }
  }

  #fetch(request: UpstreamRequest | UpstreamPost, signal: AbortSignal, http2: boolean): Promise<Response> {
    const { path, headers, method } = request;
    return fetch(`${this.#baseUrl}${path}`, {
      ...(method !== undefined && { method }),
      ...("body" in request && { method: "POST", body: request.body }),
      headers: { ...this.#carries(), ...headers, "x-sfp-version": this.#relayVersion },
      signal,
      decompress: false,
      // Do not follow redirects: the URL contains the SDK key.
      redirect: "manual",
      ...(http2 && { protocol: "http2" }),
    });
  }

  /** A server without HTTP/1.1 ends the TLS handshake; Bun reports one without HTTP/2 by a code of its own. */
  #mayNeedOtherProtocol(error: unknown, http2: boolean): boolean {
    const { code } = error as NodeJS.ErrnoException;
    return this.#baseUrl.startsWith("https:") && code === (http2 ? "HTTP2Unsupported" : "EPROTO");
  }
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
