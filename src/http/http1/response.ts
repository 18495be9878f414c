import { STATUS_CODES } from "node:http";
import { readSlices, readUntilGone, toContent } from "../response-content.ts";

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
  const content = await toContent(response);
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
  for await (const slice of readSlices(content.content, to.copies)) {
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

/** A connection, of whatever kind, as far as bytes are written to it and its reading is stopped and resumed. */
export interface ByteTransport {
  /** Whether bytes that it took may be overwritten at once. */
  readonly copies: boolean;
  /** How many bytes were taken, perhaps fewer than given: the rest is to be written when it has drained. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** Written and not acknowledged by the client's machine; 0 where the system does not say. */
  unsentBytes(): number;
  /** Sends no more; what the client sends is still received. */
  shutdown(): void;
  /** Receives no more either; a client that is slow to read has nothing taken from it. */
  close(): void;
  /** Cuts the connection: what the client has not received is lost. */
  destroy(): void;
}

/** Head and body up to this size together are written by one system call. */
const MAX_JOINED_BYTES = 64 * 1024;

/** Of all connections: what is in it has been written, or is written again from where it came, before the next use. */
const joined = Buffer.allocUnsafe(MAX_JOINED_BYTES);

interface Waiting {
  readonly parts: Uint8Array[];
  readonly written: PromiseWithResolvers<void>;
}

/** Writes to one connection as fast as it takes bytes. Nothing is copied for a slow client but a rest of a head. */
export class ByteWriter {
  readonly #transport: ByteTransport;
  #waiting: Waiting | undefined;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  /** Undefined where all was taken at once; else it resolves when it was, and rejects when the connection closes. */
  write(head: Uint8Array, body?: Uint8Array): Promise<void> | undefined {
    if (this.#waiting !== undefined) {
      this.#waiting.parts.push(head, ...(body === undefined ? [] : [body]));
      return this.#waiting.written.promise;
    }
    const parts = body === undefined ? [head] : this.#writeJoined(head, body);
    this.#writeParts(parts);
    if (parts.length === 0) return undefined;
    const written = Promise.withResolvers<void>();
    // A writer that does not wait for it learns of the connection's end elsewhere.
    written.promise.catch(() => {});
    this.#waiting = { parts, written };
    return written.promise;
  }

  /** The connection takes bytes again. */
  drained(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#writeParts(waiting.parts);
    if (waiting.parts.length > 0) return;
    this.#waiting = undefined;
    waiting.written.resolve();
  }

  closed(reason: Error): void {
    this.#waiting?.written.reject(reason);
    this.#waiting = undefined;
  }

  /** Returns what is left to be written. */
  #writeJoined(head: Uint8Array, body: Uint8Array): Uint8Array[] {
    const length = head.length + body.length;
    if (!this.#transport.copies || length > MAX_JOINED_BYTES) return [head, body];
    joined.set(head);
    joined.set(body, head.length);
    const taken = Math.max(0, this.#transport.write(joined.subarray(0, length)));
    if (taken === length) return [];
    return taken < head.length ? [head.subarray(taken), body] : [body.subarray(taken - head.length)];
  }

  /** Removes from `parts` what was taken. */
  #writeParts(parts: Uint8Array[]): void {
    for (let part = parts[0]; part !== undefined; part = parts[0]) {
      const taken = Math.max(0, this.#transport.write(part));
      if (taken === part.length) parts.shift();
      else parts[0] = part.subarray(taken);
      if (taken === 0 && part.length > 0) return;
    }
  }
}
