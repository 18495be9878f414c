import type { RawHead } from "./http1-parser.ts";

/** A request as far as it is known before its body: what is needed to answer from memory. */
export interface RequestHead {
  readonly method: string;
  /** A URL, or its path and query. */
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** The head of a request over HTTP/1.1. Reads single headers without making all of them into a Headers. */
export class Http1Head implements RequestHead {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly versionMinor: number;
  readonly keepAlive: boolean;

  constructor({ method, target, rawHeaders, versionMinor, keepAlive }: RawHead) {
    this.method = method;
    this.url = target;
    this.rawHeaders = rawHeaders;
    this.versionMinor = versionMinor;
    this.keepAlive = keepAlive;
  }

  get headers(): this {
    return this;
  }

  get headerCount(): number {
    return this.rawHeaders.length / 2;
  }

  /** `name` in lower case. Values of a name that came more than once are joined, as RFC 9110, 5.3 has it. */
  get(name: string): string | null {
    const { rawHeaders } = this;
    let found: string | null = null;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      if (!isNamed(rawHeaders[at], name)) continue;
      const value = rawHeaders[at + 1] ?? "";
      found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }

  /**
   * The one Host, or undefined where there is none or more than one: servers in a row may go by different ones
   * (RFC 9112, 3.2). Undefined as well for what is no host: it would become a part of the path. HTTP/1.0 needs none, and probes of load balancers send none.
   */
  host(): string | undefined {
    const { rawHeaders } = this;
    let host: string | undefined;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      if (!isNamed(rawHeaders[at], "host")) continue;
      if (host !== undefined) return undefined;
      host = rawHeaders[at + 1];
    }
    if (host === undefined && this.versionMinor === 0) return "localhost";
    return host !== undefined && isHost(host) ? host : undefined;
  }

  /** Throws a TypeError on a URL, a method or a header that the web standard does not have. */
  toRequest(scheme: "http" | "https", host: string, init: RequestInit): Request {
    const { method, url, rawHeaders } = this;
    const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?]*/i, "");
    if (!/^([/?]|$)/.test(path)) throw new TypeError("a request must name a path");
    const headers = new Headers();
    for (let at = 0; at < rawHeaders.length; at += 2) {
      headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
    }
    return new Request(`${scheme}://${host}${path}`, { ...init, method, headers });
  }
}

/** A name or an address, and a port (RFC 3986, 3.2), without a user. */
export function isHost(text: string): boolean {
  return /^(?:[\w.~!$&'()*+,;=%-]+|\[[\w:.]+\])(?::\d*)?$/.test(text);
}

function isNamed(header: string | undefined, name: string): boolean {
  return (
    header !== undefined &&
    header.length === name.length &&
    (header === name || header.toLowerCase() === name)
  );
}
