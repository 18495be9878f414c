import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";

/** A request as the upstream received it. */
export interface UpstreamRequest {
  readonly method: string;
  readonly url: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly httpVersion: string;
  /** Identifies the connection. */
  readonly clientPort: number;
  readonly body: Uint8Array;
  readonly atMs: number;
}

/** A complete response. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export const answer = (
  status: number,
  body: string | Uint8Array = "",
  headers: Readonly<Record<string, string>> = {},
): Answer => ({ status, headers, body: typeof body === "string" ? Buffer.from(body) : body });

export const jsonAnswer = (value: unknown, headers: Readonly<Record<string, string>> = {}): Answer =>
  answer(200, JSON.stringify(value), { "content-type": "application/json", ...headers });

export async function readRequest(message: IncomingMessage | Http2ServerRequest): Promise<UpstreamRequest> {
  const atMs = Date.now();
  const chunks: Uint8Array[] = [];
  for await (const chunk of message) chunks.push(chunk as Uint8Array);
  const url = message.url ?? "/";
  const parsed = new URL(url, "http://upstream");
  return {
    method: message.method ?? "GET",
    url,
    path: parsed.pathname,
    query: parsed.searchParams,
    headers: message.headers,
    httpVersion: message.httpVersion,
    clientPort: message.socket.remotePort ?? 0,
    body: Buffer.concat(chunks),
    atMs,
  };
}
