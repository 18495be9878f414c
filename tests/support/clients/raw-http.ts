import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { within } from "../common/wait.ts";
import type { RawResponse } from "./raw-get.ts";

export interface RawRequest {
  readonly method?: string;
  /** Sent in this order and spelling. A name may be repeated. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Uint8Array;
}

/**
 * Sends a request exactly as given, over its own connection, which the server is asked to close. The response is as received,
 * and its body is everything after the head.
 */
export async function rawHttp(url: string, request: RawRequest = {}): Promise<RawResponse> {
  const { method = "GET", headers = [], body } = request;
  const { hostname, port, host } = new URL(url);
  const target = url.slice(url.indexOf(host) + host.length) || "/";
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  const head = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...lines, ...length];
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    await within(once(socket, "connect"), 15_000, "a connection");
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    if (body !== undefined) socket.write(body);
    return parseAnswer(await within(buffer(socket), 15_000, "a whole answer"));
  } finally {
    socket.destroy();
  }
}

function parseAnswer(bytes: Buffer): RawResponse {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) throw new Error(`no HTTP answer: ${JSON.stringify(bytes.toString("latin1").slice(0, 200))}`);
  const [statusLine = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers: IncomingHttpHeaders = {};
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(":")).toLowerCase();
    headers[name] = line.slice(line.indexOf(":") + 1).trim();
  }
  return { status: Number(statusLine.split(" ")[1]), headers, body: bytes.subarray(end + 4) };
}
