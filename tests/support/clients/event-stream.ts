import { once } from "node:events";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { request as requestHttps } from "node:https";
import type { Readable } from "node:stream";
import { constants, createGunzip } from "node:zlib";
import { within } from "../common/wait.ts";

/** What an event stream has between two blank lines: an event, a comment, or only a `retry`. */
export interface StreamedEvent {
  /** The name of the event; undefined without data. */
  readonly event?: string;
  readonly id?: string;
  readonly data?: string;
  readonly retry?: number;
  readonly comment?: string;
}

interface Opened {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  readonly close: () => void;
}

export interface EventStreamOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether to use HTTP/2, for an https: URL. */
  readonly isHttp2?: boolean;
}

/** A client of server-sent events. Events are kept in order until they are read. Certificates are not checked. */
export class EventStream implements Disposable {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly #body: Readable;
  readonly #close: () => void;
  readonly #events: StreamedEvent[] = [];
  #rest = "";
  #isEnded = false;
  #arrival = Promise.withResolvers<void>();

  private constructor({ status, headers, body, close }: Opened) {
    this.status = status;
    this.headers = headers;
    this.#body = body;
    this.#close = close;
    const isGzip = headers["content-encoding"] === "gzip";
    const text = isGzip ? body.pipe(createGunzip({ flush: constants.Z_SYNC_FLUSH })) : body;
    text.setEncoding("utf8");
    text.on("data", (chunk: string) => this.#received(chunk));
    for (const each of [body, text]) {
      each.on("error", () => this.#ended());
      each.on("close", () => this.#ended());
    }
    text.on("end", () => this.#ended());
  }

  /** Resolves when the response headers are there, whatever the status. */
  static async open(url: string, options: EventStreamOptions = {}): Promise<EventStream> {
    const opening = options.isHttp2 ? openHttp2(url, options) : openHttp1(url, options);
    return new EventStream(await within(opening, 10_000, "response headers of an event stream"));
  }

  /** Resolves with the next event that has data. Skips all else. */
  async next(timeoutMs = 15_000): Promise<StreamedEvent> {
    for (;;) {
      const event = await this.nextOfAny(timeoutMs);
      if (event.data !== undefined) return event;
    }
  }

  /** Resolves with the next event, comment or `retry`. Rejects when the stream ends, or after `timeoutMs`. */
  async nextOfAny(timeoutMs = 15_000): Promise<StreamedEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (this.#isEnded) throw new Error("the stream ended");
      await within(this.#arrival.promise, timeoutMs, "next event");
    }
  }

  /** Events, comments and `retry` that have arrived and were not read yet. */
  get waiting(): number {
    return this.#events.length;
  }

  /** Resolves when the relay has ended the stream. */
  async ended(timeoutMs = 15_000): Promise<void> {
    while (!this.#isEnded) await within(this.#arrival.promise, timeoutMs, "end of the event stream");
  }

  /** Stops reading, so that the sender has to wait. */
  pause(): void {
    this.#body.pause();
  }

  resume(): void {
    this.#body.resume();
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #received(chunk: string): void {
    const blocks = (this.#rest + chunk).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    for (const block of blocks) this.#events.push(parseBlock(block));
    this.#wake();
  }

  #ended(): void {
    this.#isEnded = true;
    this.#wake();
  }

  #wake(): void {
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers();
  }
}

async function openHttp1(url: string, { headers = {} }: EventStreamOptions): Promise<Opened> {
  const request = url.startsWith("https:")
    ? requestHttps(url, { headers, rejectUnauthorized: false, agent: false })
    : requestHttp(url, { headers, agent: false });
  request.end();
  const [body] = (await once(request, "response")) as [IncomingMessage];
  request.on("error", () => {});
  return { status: body.statusCode ?? 0, headers: body.headers, body, close: () => request.destroy() };
}

async function openHttp2(url: string, { headers = {} }: EventStreamOptions): Promise<Opened> {
  const { origin, pathname, search } = new URL(url);
  const session = connect(origin, { rejectUnauthorized: false });
  session.on("error", () => {});
  const body = session.request({ ...headers, ":path": pathname + search });
  const [received] = (await once(body, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
  return { status: received[":status"] ?? 0, headers: received, body, close: () => session.destroy() };
}

/** Parses as HTML, 9.2.6, says, but for line ends other than LF, which the relay does not send. */
function parseBlock(block: string): StreamedEvent {
  const data: string[] = [];
  const parsed: { event?: string; id?: string; data?: string; retry?: number; comment?: string } = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const [name, rest] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "") parsed.comment = value;
    else if (name === "data") data.push(value);
    else if (name === "event") parsed.event = value;
    else if (name === "id") parsed.id = value;
    else if (name === "retry") parsed.retry = Number(value);
  }
  if (data.length > 0) parsed.data = data.join("\n");
  return parsed;
}
