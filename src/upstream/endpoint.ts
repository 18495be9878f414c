/** An upstream: Statsig's CDN, or another relay. Knows how to talk to it, not what about. */
interface UpstreamRequest {
  /** Begins with a slash. May hold an SDK key: not for people. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface UpstreamPost extends UpstreamRequest {
  readonly body: string | Uint8Array<ArrayBuffer>;
}

interface UpstreamOptions {
  /** Scheme, host, port and perhaps a path prefix, as in `STATSIG_ENDPOINT`. */
  readonly baseUrl: string;
  /** Sent as `x-sfp-version`, by which upstream knows a forward proxy (WIRE 2). */
  readonly relayVersion: string;
  /** Requests go through HTTP_PROXY or HTTPS_PROXY. */
  readonly proxied: boolean;
  /** Headers that each request carries besides its own, as they are when it is sent. */
  readonly carries?: () => Readonly<Record<string, string>> | undefined;
}

/**
 * Requests to one upstream over pooled connections: HTTP/1.1, and HTTP/2 where upstream speaks nothing else.
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

  /** Where a connection is made to, or undefined where a proxy makes it. */
  get address(): { readonly host: string; readonly port: number } | undefined {
    if (this.#proxied) return undefined;
    const url = new URL(this.#baseUrl);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    return { host, port: Number(url.port) || (url.protocol === "https:" ? 443 : 80) };
  }

  /** The body comes as it was sent, not decompressed. Rejects as `fetch` does. */
  get(request: UpstreamRequest, signal: AbortSignal): Promise<Response> {
    return this.#send(request, signal);
  }

  /** As {@link get}. The body is sent as it is. */
  post(request: UpstreamPost, signal: AbortSignal): Promise<Response> {
    return this.#send(request, signal);
  }

  async #send(request: UpstreamRequest | UpstreamPost, signal: AbortSignal): Promise<Response> {
    const http2 = this.#http2;
    try {
      return await this.#fetch(request, signal, http2);
    } catch (error) {
      if (!this.#mayWantTheOther(error, http2)) throw error;
      const response = await this.#fetch(request, signal, !http2);
      // Only once it was seen to work: a handshake fails for many reasons.
      this.#http2 = !http2;
      return response;
    }
  }

  #fetch(request: UpstreamRequest | UpstreamPost, signal: AbortSignal, http2: boolean): Promise<Response> {
    const { path, headers } = request;
    return fetch(`${this.#baseUrl}${path}`, {
      ...("body" in request && { method: "POST", body: request.body }),
      headers: { ...this.#carries(), ...headers, "x-sfp-version": this.#relayVersion },
      signal,
      decompress: false,
      // The way to another host is not ours to take: the URL holds the SDK key.
      redirect: "manual",
      ...(http2 && { protocol: "http2" }),
    });
  }

  /** A server without HTTP/1.1 ends the handshake; one without HTTP/2 is told by Bun. */
  #mayWantTheOther(error: unknown, http2: boolean): boolean {
    const { code } = error as NodeJS.ErrnoException;
    return this.#baseUrl.startsWith("https:") && code === (http2 ? "HTTP2Unsupported" : "EPROTO");
  }
}

/**
 * The whole body, or undefined (and no more is read) once it is longer than `maxBytes`. `received` is told the length of
 * each piece as it comes.
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
  // Into one buffer of the right length, if that was announced: pieces take the same memory again.
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

/** Of a body of unknown length. */
const FIRST_BYTES = 16 * 1024;

function resized(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
