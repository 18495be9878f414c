import { STATUS_CODES } from "node:http";
import type { FrameSink, SharedFrame } from "../../streams/lasting-body.ts";
import { readFile, readUntilAborted, toContent } from "../response-content.ts";

/** The exchange that a response over HTTP/1.1 is written to. */
export interface Http1ResponseTarget {
  readonly isHead: boolean;
  /** HTTP/1.0 has no chunked encoding: a body of unknown length ends with the connection. */
  readonly isHttp10: boolean;
  readonly keepAliveTimeoutS: number;
  /** Whether `write` copies the bytes, so that they may be overwritten. */
  readonly copies: boolean;
  /** Decides whether the connection closes after the response. May be called once, when the head is written. */
  decideClose(): boolean;
  /** Resolves when the bytes are taken; rejects when the connection closes. */
  write(...parts: Uint8Array[]): Promise<void> | undefined;
  /** Marks a body that continues as long as the client listens. The connection closes after it. */
  startStream(): void;
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;
}

export const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

const CHUNKED = "transfer-encoding: chunked\r\n";

const LAST_CHUNK = Buffer.from("0\r\n\r\n");

/** Returns the header lines that only the connection knows, `date` and `connection`, and the blank line. */
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
    // Only the connection decides these.
    if (name !== "connection" && name !== "keep-alive") lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** Sends a web standard Response. For a slow client a reference to its bytes or one slice of a file is held, and no copy. */
export async function sendHttp1Response(response: Response, to: Http1ResponseTarget): Promise<void> {
  const { status, headers } = response;
  const content = await toContent(response);
  if (content.kind === "stream") {
    await sendStream(response, content.stream, to);
    return;
  }
  const { size } = content;
  const isBodiless = to.isHead || status === 204 || status === 304;
  // Hono removes the body of a response to HEAD, and with it its length.
  const hasNoLength = status === 204 || status === 304 || (to.isHead && size === 0);
  const length = hasNoLength || headers.has("content-length") ? "" : `content-length: ${size}\r\n`;
  const head = encodeHead(response, length, to);
  if (isBodiless || size === 0) {
    await to.write(head);
    return;
  }
  if (content.kind === "bytes") {
    await to.write(head, content.bytes);
    return;
  }
  let unsent: Uint8Array | undefined = head;
  for await (const slice of readFile(content.file, to.copies)) {
    await (unsent === undefined ? to.write(slice) : to.write(unsent, slice));
    unsent = undefined;
  }
}

async function sendStream(
  response: Response,
  body: ReadableStream<Uint8Array>,
  to: Http1ResponseTarget,
): Promise<void> {
  to.startStream();
  await to.write(encodeHead(response, to.isHttp10 ? "" : CHUNKED, to));
  for await (const bytes of readUntilAborted(body, to.signal)) {
    await to.write(to.isHttp10 ? bytes : encodeChunk(bytes));
  }
  if (!to.isHttp10) await to.write(LAST_CHUNK);
}

/** Writes frames as chunks, or as they are to HTTP/1.0. */
export class ChunkSink implements FrameSink {
  readonly #to: Http1ResponseTarget;

  constructor(to: Http1ResponseTarget) {
    this.#to = to;
  }

  /** Writes the head of the response. */
  begin(response: Response): void {
    this.#to.startStream();
    const head = encodeHead(response, this.#to.isHttp10 ? "" : CHUNKED, this.#to);
    // If the client is gone, the body ends as well.
    this.#to.write(head)?.catch(() => {});
  }

  write(frame: SharedFrame): Promise<void> | undefined {
    if (this.#to.isHttp10) return this.#to.write(...frame);
    const size = frame.reduce((sum, { length }) => sum + length, 0);
    // A chunk without bytes would be the last one.
    if (size === 0) return undefined;
    return this.#to.write(Buffer.from(`${size.toString(16)}\r\n`), ...frame, CHUNK_END);
  }

  end(): Promise<void> | undefined {
    return this.#to.isHttp10 ? undefined : this.#to.write(LAST_CHUNK);
  }
}

const CHUNK_END = Buffer.from("\r\n");

function encodeHead({ status, headers }: Response, framing: string, to: Http1ResponseTarget): Buffer {
  const keepAliveTimeoutS = to.decideClose() ? undefined : to.keepAliveTimeoutS;
  const text = `${statusLine(status)}${headerLines(headers)}${framing}${connectionLines(keepAliveTimeoutS)}`;
  return Buffer.from(text, "latin1");
}

function encodeChunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

let date = "";
let dateSecond = 0;

/** Returns the current date as in RFC 9110, 5.6.7. It is formatted once a second. */
export function httpDate(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(second * 1_000).toUTCString();
  }
  return date;
}
