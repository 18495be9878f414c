import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { PlaintextHttp2Client } from "../../src/upstream/http2-client.ts";
import { eventually } from "../support/common/wait.ts";

const LARGE = Buffer.alloc(20_000_000, 97);

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

beforeAll(async () => {
  server = createServer((request, response) => void routes[request.url]?.(request, response));
  server.on("stream", (stream) => stream.on("error", () => undefined));
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
  const http2 = new PlaintextHttp2Client({ origin: `http://127.0.0.1:${port}`, reusesConnections });
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
  const before = sockets.size;
  const send = client();
  for (let count = 0; count < 3; count++) await (await send("/unfinished")).body?.cancel();
  expect(sockets.size).toBe(before + 3);
  await eventually(() => expect(sockets.size).toBeLessThanOrEqual(before), { withinMs: 20_000 });
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
  const http2 = new PlaintextHttp2Client({ origin: "http://127.0.0.1:1", reusesConnections: true });
  const sent = http2.send({ method: "GET", path: "/", headers: {} }, AbortSignal.timeout(5_000));
  expect(await codeOf(sent)).toBe("ECONNREFUSED");
});
