import { expect, test } from "bun:test";
import fc from "fast-check";
import { Http1Connection, type Http1Handler } from "../../src/http/http1/connection.ts";
import { ParserPool } from "../../src/http/http1/parser.ts";
import type { ByteTransport } from "../../src/http/http1/transport.ts";
import { PreparedResponse } from "../../src/http/spec-responses.ts";
import { eventually } from "../support/common/wait.ts";

/** Collects what is written. It takes a given number of bytes of each write, in turn. */
class PatchyTransport implements ByteTransport {
  readonly copies = true;
  readonly clientAddress = "";
  readonly localPort = 8000;
  readonly #takes: readonly number[];
  readonly #chunks: Buffer[] = [];
  #writes = 0;
  isPaused = false;
  isShutDown = false;
  isClosed = false;
  isDestroyed = false;
  isFull = false;
  unsent = 0;

  constructor(takes: readonly number[]) {
    this.#takes = takes;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  write(bytes: Uint8Array): number {
    const most = this.#takes[this.#writes++ % this.#takes.length] ?? Number.POSITIVE_INFINITY;
    const taken = this.isFull ? 0 : Math.min(most, bytes.length);
    this.isFull = taken < bytes.length;
    this.#chunks.push(Buffer.from(bytes.subarray(0, taken)));
    return taken;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  unsentBytes(): number {
    return this.unsent;
  }

  shutdown(): void {
    this.isShutDown = true;
  }

  close(): void {
    this.isClosed = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

const held = new PreparedResponse(
  { status: 200, body: Buffer.from("held ".repeat(50)), headers: { "content-type": "text/plain" } },
  () => ({ record: () => {} }),
);

/** `/held` from the cache; `/echo` returns the body; everything else its path, after a turn or two of the event loop. */
const handler: Http1Handler = {
  fromCache: ({ url, method }) => (method === "GET" && url === "/held" ? held : undefined),
  handle: async (request) => {
    const { pathname } = new URL(request.url);
    await new Promise((resolve) => setImmediate(resolve));
    if (pathname !== "/echo") return new Response(`at ${pathname}`);
    return new Response(`${(await request.bytes()).length}:${pathname}`);
  },
};

const length = fc.oneof(fc.nat(300), fc.nat(300), fc.nat(300), fc.nat(40_000));
const body = length.map((count) => "b".repeat(count));

const request = fc.oneof(
  fc.constant({ wire: "GET /held HTTP/1.1\r\nHost: a\r\n\r\n", response: "held ".repeat(50) }),
  fc.nat(99).map((n) => ({ wire: `GET /slow-${n} HTTP/1.1\r\nHost: a\r\n\r\n`, response: `at /slow-${n}` })),
  body.map((text) => ({
    wire: `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    response: `${text.length}:/echo`,
  })),
  // The handler does not read it.
  body.map((text) => ({
    wire: `POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    response: "at /other",
  })),
  fc.array(body, { minLength: 1, maxLength: 3 }).map((texts) => {
    const chunks = texts.filter(Boolean).map((text) => `${text.length.toString(16)}\r\n${text}\r\n`);
    return {
      wire: `POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join("")}0\r\nX-Trailer: 1\r\n\r\n`,
      response: `${texts.join("").length}:/echo`,
    };
  }),
);

const parsers = new ParserPool(16_384);

/** The bodies of the complete responses, by their Content-Length. */
function bodiesIn(text: string): string[] {
  const bodies: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at);
    const length = Number(/content-length: (\d+)/.exec(text.slice(at, end))?.[1]);
    if (end < 0) break;
    if (!text.startsWith("HTTP/1.1 200 OK\r\n", at)) throw new Error(text.slice(at, at + 200));
    at = end + 4 + length;
    if (at > text.length) break;
    bodies.push(text.slice(end + 4, at));
  }
  return bodies;
}

const connectionOn = (transport: ByteTransport) =>
  new Http1Connection(transport, {
    ...{ scheme: "http", handler, parsers, emit: () => {} },
    ...{ headerTimeoutMs: 60_000, idleTimeoutMs: 60_000 },
  });

// A transport may wait until all is sent before it closes.
test.each([
  ["has not taken", 1, { isShutDown: true, isClosed: false, isDestroyed: true }],
  ["has taken", 0, { isShutDown: true, isClosed: true, isDestroyed: false }],
] as const)("an idle connection whose client %s all of its response ends", (_, unsent, ending) => {
  const transport = new PatchyTransport([1_000_000]);
  transport.unsent = unsent;
  const connection = connectionOn(transport);
  connection.received(Buffer.from("GET /held HTTP/1.1\r\nHost: a\r\n\r\n"));
  expect(bodiesIn(transport.text)).toHaveLength(1);
  const beganMs = performance.now();
  for (const afterS of [61, 64, 125]) connection.checkDeadline(beganMs + afterS * 1_000);
  expect(transport).toMatchObject(ending);
});

test("answers requests in order, however their bytes are split and however slowly the client reads", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 12 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 30_000 })), {
        minLength: 5,
        maxLength: 20,
      }),
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 10 }),
      async (requests, cuts, takes) => {
        const transport = new PatchyTransport([...takes, 1_000_000]);
        const connection = connectionOn(transport);
        const wire = Buffer.from(requests.map(({ wire: each }) => each).join(""));
        const expected = requests.map(({ response }) => response);
        let sent = 0;
        await eventually(
          () => {
            for (let cut = 0; sent < wire.length && !transport.isPaused; cut++) {
              const end = Math.min(wire.length, sent + (cuts[cut % cuts.length] ?? 1));
              connection.received(wire.subarray(sent, end));
              sent = end;
            }
            if (transport.isFull) {
              transport.isFull = false;
              connection.drained();
            }
            expect([sent, bodiesIn(transport.text).length]).toEqual([wire.length, expected.length]);
            expect(connection.isBusy).toBe(false);
          },
          { withinMs: 20_000, everyMs: 0 },
        );
        expect(bodiesIn(transport.text)).toEqual(expected);
        const { isShutDown, isClosed, isDestroyed } = transport;
        expect([isShutDown, isClosed, isDestroyed]).toEqual([false, false, false]);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
