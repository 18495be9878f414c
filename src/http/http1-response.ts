import { STATUS_CODES } from "node:http";
import { contentOf, readUntilGone, slicesOf } from "./response-content.ts";

/** Where a response over HTTP/1.1 goes. */
export interface Http1ResponseTarget {
  readonly isHead: boolean;
  /** HTTP/1.0 has no chunks: a body of unknown length ends with the connection. */
  readonly isHttp10: boolean;
  readonly keepAliveTimeoutS: number;
  /** Whether bytes that were written may be overwritten. */
  readonly copies: boolean;
  /** Decides whether the connection ends with the response. To be called once, when its head is written. */
  decideClose(): boolean;
  /** Resolves when the bytes were taken; rejects when the connection closes. */
  write(head: Uint8Array, body?: Uint8Array): Promise<void> | undefined;
  /** The body goes on for as long as the client listens, and the connection ends with it. */
  streams(): void;
  /** Aborted when the client goes. */
  readonly signal: AbortSignal;
}

export const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

const LAST_CHUNK = Buffer.from("0\r\n\r\n");

/** The lines that only the connection knows: the date, and whether it goes on. */
export function connectionLines(keepAliveTimeoutS: number | undefined): string {
  const connection =
    keepAliveTimeoutS === undefined
      ? "connection: close"
      : `connection: keep-alive\r\nkeep-alive: timeout=${keepAliveTimeoutS}`;
  return `date: ${httpDate()}\r\n${connection}\r\n\r\n`;
}

export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`;
}

export function headerLines(headers: Headers): string {
  let lines = "";
  for (const [name, value] of headers) {
    // The connection is not the response's matter.
    if (name !== "connection" && name !== "keep-alive") lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** Sends a web standard Response. A slow client holds one slice of its body, not a copy of it. */
export async function sendHttp1Response(response: Response, to: Http1ResponseTarget): Promise<void> {
  const { status, headers } = response;
  const content = await contentOf(response);
  if (content.kind === "stream") {
    await sendStream(response, content.stream, to);
    return;
  }
  const { size } = content;
  const isBodiless = to.isHead || status === 204 || status === 304;
  // hono leaves the body of an answer to HEAD away, and with it its length.
  const isUntold = status === 204 || status === 304 || (to.isHead && size === 0);
  const length = isUntold || headers.has("content-length") ? "" : `content-length: ${size}\r\n`;
  const head = headOf(response, length, to);
  if (isBodiless || size === 0) {
    await to.write(head);
    return;
  }
  let unsent: Uint8Array | undefined = head;
  for await (const slice of slicesOf(content.content, to.copies)) {
    await (unsent === undefined ? to.write(slice) : to.write(unsent, slice));
    unsent = undefined;
  }
}

async function sendStream(
  response: Response,
  body: ReadableStream<Uint8Array>,
  to: Http1ResponseTarget,
): Promise<void> {
  const framing = to.isHttp10 ? "" : "transfer-encoding: chunked\r\n";
  to.streams();
  await to.write(headOf(response, framing, to));
  for await (const bytes of readUntilGone(body, to.signal)) {
    await to.write(to.isHttp10 ? bytes : chunkOf(bytes));
  }
  if (!to.isHttp10) await to.write(LAST_CHUNK);
}

function headOf({ status, headers }: Response, framing: string, to: Http1ResponseTarget): Buffer {
  const keepAliveTimeoutS = to.decideClose() ? undefined : to.keepAliveTimeoutS;
  const text = `${statusLine(status)}${headerLines(headers)}${framing}${connectionLines(keepAliveTimeoutS)}`;
  return Buffer.from(text, "latin1");
}

function chunkOf(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

let date = "";
let dateSecond = 0;

/** As RFC 9110, 5.6.7 has it; made once a second. */
export function httpDate(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(second * 1_000).toUTCString();
  }
  return date;
}
