import { afterAll, beforeAll, expect } from "bun:test";
import { createServer, type Http2Server } from "node:http2";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { forKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";
import { HTTP2_ROWS, type Http2Check } from "./upstream-http2.rows.ts";

const stack = new AsyncDisposableStack();
/** Speaks only HTTP/2. */
let upstream: Upstream;
let relay: RelayProcess;

beforeAll(async () => {
  upstream = stack.use(await startUpstream({ isH2c: true }));
  const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  relay = stack.use(await startRelayProcess({ upstream, env }));
}, 30_000);

afterAll(() => stack.disposeAsync());

const PROTO = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };

const ask = (from: RelayProcess, sdkKey: string, version = "v2", headers = {}) =>
  rawGet(`${from.httpUrl}/${version}/download_config_specs/${sdkKey}.json`, headers);

const expectServes = (from: RelayProcess, sdkKey: string, text: string): Promise<void> =>
  eventually(async () => expect(textOf(await ask(from, sdkKey))).toBe(text), { withinMs: 20_000 });

const startAt = (port: number, options: RelayOptions = {}) =>
  startRelayProcess({ env: { STATSIG_ENDPOINT: `http://127.0.0.1:${port}` }, ...options });

/** An HTTP/2 upstream of one version of one key. `configure` adds what is wrong with it. */
async function startHttp2(sdkKey: string, configure: (server: Http2Server) => void, port = 0) {
  const { v2, lcut } = versionOf(sdkKey);
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "application/json", "x-since-time": String(lcut) });
    response.end(v2);
  });
  configure(server);
  return { v2, ...(await listen(server, port)) };
}

/** An upstream that does this with each connection. */
const startTcp = (handle: (socket: Socket) => void) =>
  listen(
    createTcpServer((socket) => {
      socket.on("error", () => undefined);
      handle(socket);
    }),
  );

async function listen(server: Http2Server | Server, port = 0) {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Passes connections that begin with the preface of HTTP/2 on to `port`, and does something else with others. */
const startFront = (port: number, otherwise: (socket: Socket) => void) =>
  startTcp((socket) => {
    socket.once("data", (first) => {
      if (!first.toString("latin1").startsWith("PRI * HTTP/2.0")) return otherwise(socket);
      const back = connect(port, "127.0.0.1");
      back.on("error", () => socket.destroy());
      socket.on("close", () => back.destroy());
      back.write(first);
      socket.pipe(back).pipe(socket);
    });
  });

async function expectFoundBehind(otherwise: (socket: Socket) => void): Promise<void> {
  const { sdkKey, v2 } = publishKey(upstream, "secret-behind");
  await using front = await startFront(Number(new URL(upstream.url).port), otherwise);
  await using behind = await startAt(front.port);
  await expectServes(behind, sdkKey, v2);
}

/** Another server takes the place of `before`, at the same port. */
async function expectSwitch(before: "h2c" | "http1"): Promise<void> {
  const sdkKey = "secret-switched";
  const first = await startUpstream({ isH2c: before === "h2c" });
  await using _first = first;
  await using switched = await startRelayProcess({ upstream: first });
  const old = publishKey(first, sdkKey);
  await expectServes(switched, sdkKey, old.v2);
  const port = Number(new URL(first.url).port);
  await first.stop();
  await using second = await startUpstream({ isH2c: before !== "h2c", port });
  const next = publishKey(second, sdkKey, 1);
  await expectServes(switched, sdkKey, next.v2);
}

const CHECKS: Readonly<Record<Http2Check, () => Promise<unknown>>> = {
  "config specs v1": async () => {
    const { sdkKey, v1 } = publishKey(upstream, "secret-h2-v1");
    expect(textOf(await ask(relay, sdkKey, "v1"))).toBe(v1);
  },
  "config specs v2": async () => {
    const { sdkKey, v2 } = publishKey(upstream, "secret-h2-v2");
    expect(textOf(await ask(relay, sdkKey))).toBe(v2);
    expect(upstream.requests.map(({ httpVersion }) => httpVersion)).not.toContain("1.1");
  },
  protobuf: async () => {
    const { sdkKey, proto } = publishKey(upstream, "secret-h2-proto");
    expect((await ask(relay, sdkKey, "v2", PROTO)).body.equals(proto)).toBe(true);
  },
  updates: async () => {
    const { sdkKey } = publishKey(upstream, "secret-h2-update");
    await ask(relay, sdkKey);
    await expectServes(relay, sdkKey, publishKey(upstream, sdkKey, 1).v2);
  },
  401: async () => expect((await ask(relay, "secret-h2-unknown")).status).toBe(401),
  "ID lists": async () => {
    const answer = await rawGet(`${relay.httpUrl}/v1/get_id_lists/secret-h2-lists.json`);
    expect([answer.status, textOf(answer)]).toEqual([200, "{}"]);
  },
  "log events": async () => {
    const body = JSON.stringify({ events: [{ eventName: "a" }] });
    const headers = { "statsig-api-key": "secret-h2-events" };
    await fetch(`${relay.httpUrl}/v1/log_event`, { method: "POST", headers, body });
    await eventually(() => expect(upstream.count("/v1/log_event")).toBe(1), { withinMs: 20_000 });
  },
  GOAWAY: async () => {
    let requests = 0;
    await using server = await startHttp2("secret-goaway", (http2) =>
      http2.on("stream", ({ session }) => {
        requests++;
        session?.goaway();
      }),
    );
    await using gone = await startAt(server.port);
    await expectServes(gone, "secret-goaway", server.v2);
    await eventually(() => expect(requests).toBeGreaterThan(2), { withinMs: 20_000 });
    expect(gone.output()).not.toContain("upstream failing");
  },
  "connections used once": async () => {
    let connections = 0;
    await using server = await startHttp2("secret-once", (http2) => http2.on("session", () => connections++));
    await using once = await startAt(server.port, { args: ["--http-connection-pool-max-idle-per-host=0"] });
    await expectServes(once, "secret-once", server.v2);
    await eventually(() => expect(connections).toBeGreaterThan(2), { withinMs: 20_000 });
  },
  "a connection that dies in a response": async () => {
    const { sdkKey, v2 } = publishKey(upstream, "secret-h2-cut");
    await ask(relay, sdkKey);
    upstream.misbehave({ kind: "cut", framing: "length", afterBytes: 10 }, forKey(sdkKey));
    const before = upstream.requests.length;
    publishKey(upstream, sdkKey, 1);
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(before + 2), {
      withinMs: 20_000,
    });
    expect(textOf(await ask(relay, sdkKey))).toBe(v2);
    upstream.behave();
    await expectServes(relay, sdkKey, versionOf(sdkKey, 1).v2);
  },
  "a restart as HTTP/2 only": () => expectSwitch("http1"),
  "a restart as HTTP/1.1 only": () => expectSwitch("h2c"),
  "505 to HTTP/1.1": () =>
    expectFoundBehind((socket) =>
      socket.end("HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\n\r\n"),
    ),
  "closes HTTP/1.1 connections": () => expectFoundBehind((socket) => socket.destroy()),
  "neither protocol": async () => {
    await using garbage = await startTcp((socket) =>
      socket.once("data", () => socket.end(Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]))),
    );
    await using lost = await startAt(garbage.port);
    expect((await ask(lost, "secret-garbage")).status).toBe(503);
  },
  "a reset of HTTP/1.1": async () => {
    await using plain = await startUpstream();
    await using steady = await startRelayProcess({ upstream: plain });
    const { sdkKey, v2 } = publishKey(plain, "secret-reset");
    await expectServes(steady, sdkKey, v2);
    plain.misbehave({ kind: "reset" }, { times: 2 });
    await expectServes(steady, sdkKey, publishKey(plain, sdkKey, 1).v2);
    plain.misbehave(status(500), { times: 1 });
    await expectServes(steady, sdkKey, publishKey(plain, sdkKey, 2).v2);
    expect(new Set(plain.requests.map(({ httpVersion }) => httpVersion))).toEqual(new Set(["1.1"]));
  },
};

testRows(HTTP2_ROWS, async ({ check }) => {
  await CHECKS[check]();
});
