import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  constants,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Http2Client } from "../../src/upstream/http2-client.ts";
import { eventually } from "../support/common/wait.ts";

const LARGE = Buffer.alloc(20_000_000, 97);

/** Methods of the requests that arrived at `/lost`. */
const lost: string[] = [];

type Handle = (request: Http2ServerRequest, response: Http2ServerResponse) => unknown;

const routes: Readonly<Record<string, Handle>> = {
  "/": async (request, response) => {
    let length = 0;
    for await (const chunk of request) length += (chunk as Buffer).length;
    response.writeHead(200, { "x-twice": ["a", "b"] });
    response.end(`${request.method} ${length}`);
  },
  "/large": (_, response) => response.end(LARGE),
  "/nothing": (_, response) => response.writeHead(204).end(),
  "/hang": () => undefined,
  "/unfinished": (_, response) => {
    response.writeHead(401);
    response.write("abc");
  },
  "/short": (_, response) => {
    response.writeHead(200, { "content-length": 1_000 });
    response.end("abc");
  },
  "/lost": (request) => {
    lost.push(request.method);
    request.stream.session?.destroy();
  },
  "/die": async (_, response) => {
    response.writeHead(200);
    response.write("abc");
    // The bytes must be sent before the socket is destroyed.
    await sleep(50);
    for (const socket of sockets) socket.destroy();
  },
};

let server: Http2Server;
const sockets = new Set<Socket>();
const sessions = new Set<ServerHttp2Session>();

beforeAll(async () => {
  server = createServer((request, response) => void routes[request.url]?.(request, response));
  server.on("stream", (stream) => stream.on("error", () => undefined));
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterAll(() => {
  server.close();
  for (const socket of sockets) socket.destroy();
});

function client(reusesConnections = true) {
  const { port } = server.address() as AddressInfo;
  const http2 = new Http2Client({ origin: `http://127.0.0.1:${port}`, reusesConnections });
  return (path: string, body?: string | Uint8Array, signal = AbortSignal.timeout(20_000)) =>
    http2.send({ method: body === undefined ? "GET" : "POST", path, headers: {}, body }, signal);
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return "no error";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).name;
  }
};

test("sends a body of megabytes, and receives one", async () => {
  const send = client();
  const answer = await send("/", new Uint8Array(3_000_000));
  expect([answer.status, await answer.text()]).toEqual([200, "POST 3000000"]);
  expect(answer.headers.get("x-twice")).toBe("a, b");
  expect((await (await send("/large")).bytes()).length).toBe(LARGE.length);
});

test("a response without a body", async () => {
  const { status, body } = await client()("/nothing");
  expect([status, body]).toEqual([204, null]);
});

test.each(["/short", "/die"])("%s: a body that breaks off is an error", async (path) => {
  const answer = await client()(path);
  expect(await codeOf(answer.text())).toBe("ECONNRESET");
});

test("requests work while the body of another is not read, and after it is cancelled", async () => {
  const send = client();
  const unread = await send("/large");
  expect(await (await send("/")).text()).toBe("GET 0");
  await unread.body?.cancel();
  expect(await (await send("/")).text()).toBe("GET 0");
});

test("a body that is not wanted and never ends does not keep its connection", async () => {
  const others = new Set(sockets);
  const send = client();
  for (let count = 0; count < 3; count++) await (await send("/unfinished")).body?.cancel();
  const open = () => sockets.difference(others).size;
  expect(open()).toBe(3);
  await eventually(() => expect(open()).toBe(0), { withinMs: 30_000 });
});

test("an abort ends the request with the reason, before and within the response", async () => {
  const send = client();
  const early = new AbortController();
  const waiting = send("/hang", undefined, early.signal);
  await sleep(50);
  early.abort(new Error("enough"));
  expect(await waiting.catch(String)).toBe("Error: enough");
  const late = new AbortController();
  const answer = await send("/large", undefined, late.signal);
  late.abort(new Error("enough"));
  expect(await answer.text().catch(String)).toBe("Error: enough");
  expect(await (await send("/")).text()).toBe("GET 0");
});

test("an idle connection that upstream closed is replaced", async () => {
  const send = client();
  await (await send("/")).text();
  for (const socket of sockets) socket.destroy();
  expect(await (await send("/")).text()).toBe("GET 0");
});

test("a POST that upstream may have processed is not repeated, and a GET is", async () => {
  const send = client();
  await (await send("/")).text();
  expect(await codeOf(send("/lost", "events"))).toBe("ECONNRESET");
  await (await send("/")).text();
  expect(await codeOf(send("/lost"))).toBe("ECONNRESET");
  expect(lost).toEqual(["POST", "GET", "GET"]);
});

test("a POST that upstream refused unprocessed is repeated", async () => {
  await using refusing = await startRefusing();
  const { origin, requests } = refusing;
  const http2 = new Http2Client({ origin, reusesConnections: true });
  const post = () =>
    http2.send({ method: "POST", path: "/", headers: {}, body: "events" }, AbortSignal.timeout(20_000));
  await (await post()).text();
  expect((await post()).status).toBe(200);
  // The second request of the first connection was refused.
  expect(requests).toEqual([1, 2, 1]);
});

test("a POST finds a new connection after upstream closed the idle one, with or without GOAWAY", async () => {
  const send = client();
  await (await send("/", "a")).text();
  for (const session of sessions) session.goaway();
  expect(await (await send("/", "ab")).text()).toBe("POST 2");
  for (const socket of sockets) socket.destroy();
  await eventually(() => expect(sockets.size).toBe(0));
  expect(await (await send("/", "abc")).text()).toBe("POST 3");
});

test("connections are used again, or once", async () => {
  await eventually(() => {
    for (const socket of sockets) socket.destroy();
    expect(sockets.size).toBe(0);
  });
  const keeping = client();
  for (let count = 0; count < 5; count++) await (await keeping("/")).text();
  expect(sockets.size).toBe(1);
  const single = client(false);
  for (let count = 0; count < 5; count++) await (await single("/")).text();
  await eventually(() => expect(sockets.size).toBe(1));
});

test("no connection: the error of the connection, not of the request", async () => {
  const http2 = new Http2Client({ origin: "http://127.0.0.1:1", reusesConnections: true });
  const sent = http2.send({ method: "GET", path: "/", headers: {} }, AbortSignal.timeout(5_000));
  expect(await codeOf(sent)).toBe("ECONNREFUSED");
});

/** Writes an HTTP/2 frame (RFC 9113, 4.1). */
function frame(type: number, flags: number, streamId: number, payload: readonly number[] = []): Uint8Array {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, Uint8Array.from(payload)]);
}

const [HEADERS, RST_STREAM, SETTINGS] = [1, 3, 4];
const PREFACE_BYTES = 24;

/**
 * Answers the first request of each connection with 200, and refuses the others. Frames are written by hand because the server of
 * Bun does not send the code of a reset. `requests` has the number of each request within its connection.
 */
async function startRefusing() {
  const requests: number[] = [];
  const raw = createTcpServer((socket) => {
    let received = Buffer.alloc(0);
    let count = 0;
    let skipped = PREFACE_BYTES;
    socket.on("error", () => undefined);
    socket.write(frame(SETTINGS, 0, 0));
    socket.on("data", (data: Buffer) => {
      received = Buffer.concat([received, data]);
      for (;;) {
        const length = skipped + 9 + (received.length < skipped + 3 ? 0 : received.readUIntBE(skipped, 3));
        if (received.length < length) return;
        const type = received[skipped + 3];
        const streamId = received.readUInt32BE(skipped + 5);
        received = received.subarray(length);
        skipped = 0;
        if (type === SETTINGS) socket.write(frame(SETTINGS, 1, 0));
        if (type !== HEADERS) continue;
        requests.push(++count);
        // `:status: 200` is entry 8 of the static table of HPACK; the flags end the headers and the stream.
        if (count === 1) socket.write(frame(HEADERS, 5, streamId, [0x88]));
        else socket.write(frame(RST_STREAM, 0, streamId, [0, 0, 0, constants.NGHTTP2_REFUSED_STREAM]));
      }
    });
  });
  await new Promise<void>((resolve) => raw.listen(0, "127.0.0.1", resolve));
  const { port } = raw.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => void raw.close(),
  };
}
