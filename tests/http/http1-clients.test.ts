import { expect } from "bun:test";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { curl } from "../support/clients/curl.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { describeWith, testsWith } from "../support/common/needs.ts";
import { eventually, within } from "../support/common/wait.ts";
import { specPath, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const PATIENCE = { withinMs: 15_000 };
const HOST = "Host: localhost\r\n";
const STREAM = "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec";

/** What clients, proxies and users of a shell do with HTTP/1.1. */
describe.each(["http", "https"] as const)("HTTP/1.1 on the %s port", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay();
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const open = () => RawConnection.open(started.relay.urlOf(protocol));
  const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\n${HOST}${more}\r\n`;

  // Bun ends a TLS connection when its client ends its half.
  const halfClosed = test.skipIf(protocol === "https");
  halfClosed("a client that sends no more after its request has its response", async () => {
    const { sdkKey } = publishKey(started.upstream, `secret-half-${protocol}`);
    started.upstream.misbehave({ kind: "none" }, { ...forKey(sdkKey), delayMs: 300 });
    const socket = connect({ port: started.relay.httpPort, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      text += chunk;
    });
    const ended = new Promise((resolve) => socket.once("end", resolve));
    socket.on("error", () => undefined);
    socket.end(get(started.heldPath) + get(specPath(sdkKey)));
    await within(ended, 15_000, "the end of the responses");
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    socket.destroy();
  });

  test("serves a request that arrives byte by byte", async () => {
    using connection = await open();
    for (const byte of get(started.heldPath)) {
      connection.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => expect(connection.statuses).toEqual([200]), PATIENCE);
  });

  test("HTTP/1.0 without Host: the connection closes after the response, unless the client asks to keep it", async () => {
    using connection = await open();
    connection.write("GET /v1/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    await eventually(() => expect(connection.statuses).toEqual([200]), PATIENCE);
    expect(connection.text).toMatch(/\r\nconnection: keep-alive\r\n/i);
    connection.write("GET /v1/health HTTP/1.0\r\n\r\n");
    await connection.closed(15_000);
    expect(connection.statuses).toEqual([200, 200]);
  });

  test("ignores a request for an upgrade to HTTP/2, as Java's client sends it", async () => {
    using connection = await open();
    const upgrade =
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n";
    connection.write(get(started.heldPath, upgrade) + get("/nowhere"));
    await eventually(() => expect(connection.statuses).toEqual([200, 404]), PATIENCE);
    connection.write(
      `POST /v1/get_id_lists HTTP/1.1\r\n${HOST}${upgrade}statsig-api-key: secret-held\r\nContent-Length: 2\r\n\r\n{}`,
    );
    await eventually(() => expect(connection.statuses).toEqual([200, 404, 200]), PATIENCE);
  });

  test.each(["PUT", "OPTIONS", "TRACE", "CONNECT", "QUERY"])("%s is rejected", async (method) => {
    using connection = await open();
    connection.write(`${method} /nowhere HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    await connection.closed(15_000);
    expect([400, 404]).toContain(connection.statuses[0] ?? 0);
    expect(connection.statuses).toHaveLength(1);
  });

  test("answers thousands of pipelined requests in order, and serves other clients meanwhile", async () => {
    using connection = await open();
    const count = 5_000;
    connection.write(get("/v1/health").repeat(count - 1) + get("/nowhere"));
    expect(await started.statusOf(protocol)).toBe(200);
    await eventually(() => expect(connection.statuses).toHaveLength(count), { withinMs: 25_000 });
    expect(connection.statuses.slice(0, -1).every((status) => status === 200)).toBe(true);
    expect(connection.statuses.at(-1)).toBe(404);
  });

  test("responses have Date and Keep-Alive headers", async () => {
    using connection = await open();
    connection.write(get(started.heldPath) + get("/nowhere"));
    await eventually(() => expect(connection.statuses).toEqual([200, 404]), PATIENCE);
    const dates = [...connection.text.matchAll(/\r\ndate: ([^\r]+ GMT)\r\n/gi)].map(([, date]) => date ?? "");
    expect(dates).toHaveLength(2);
    for (const date of dates) expect(Math.abs(Date.parse(date) - Date.now())).toBeLessThan(60_000);
    expect(connection.text.match(/\r\nkeep-alive: timeout=\d+\r\n/gi)).toHaveLength(2);
  });

  const stream = () => {
    const message = rpcFrame(JSON.stringify({ sdkKey: "secret-held", version: "v2" })).toString("latin1");
    return `POST ${STREAM} HTTP/1.1\r\n${HOST}Content-Type: application/connect+json\r\nContent-Length: ${message.length}\r\n\r\n${message}`;
  };
  test.each([
    ["disconnects", ""],
    ["disconnects, with requests behind the stream", get("/v1/health").repeat(3)],
  ])("a stream ends when its client %s", async (_, more) => {
    await using own = await startTlsRelay(["-g", "2"]);
    for (let time = 0; time < 6; time++) {
      await eventually(async () => {
        using connection = await RawConnection.open(own.relay.urlOf(protocol));
        connection.write(stream() + more);
        const message = await connection.until(
          "a message",
          () => /"(spec|error)":/.exec(connection.text)?.[1],
        );
        // Above the limit (-g) an error is sent in place of specs.
        expect([message, connection.statuses]).toEqual(["spec", [200]]);
      }, PATIENCE);
    }
  });

  test("keeps no copy of a large response per client that stops reading", async () => {
    await using own = await startTlsRelay();
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(64_000))).toString("hex");
    const color = noise.repeat(100);
    own.upstream.publish("secret-large", "v2", specV2({ lcut: 1_700_000_000_000, color }));
    expect(await own.statusOf(protocol, specPath("secret-large"))).toBe(200);
    const before = own.relay.rssBytes();
    using stack = new DisposableStack();
    for (let client = 0; client < 60; client++) {
      const { hostname, port } = new URL(own.relay.urlOf(protocol));
      const to = { host: hostname, port: Number(port) };
      const socket = protocol === "http" ? connect(to) : connectTls({ ...to, rejectUnauthorized: false });
      stack.defer(() => socket.destroy());
      socket.on("error", () => undefined);
      socket.pause().write(get(specPath("secret-large")));
    }
    for (let time = 0; time < 5; time++) {
      await Bun.sleep(200);
      expect(await own.statusOf(protocol, "/v1/health")).toBe(200);
    }
    // Each copy would be 13 MB.
    await eventually(() => expect(own.relay.rssBytes() - before).toBeLessThan(200 * 1024 * 1024), PATIENCE);
  });
});

describeWith("curl")("curl", () => {
  test.each(["http", "https"] as const)(
    "waits for 100 Continue before a large body (%s)",
    async (protocol) => {
      await using started = await startTlsRelay();
      const events = JSON.stringify({
        events: Array.from({ length: 2_000 }, (_, at) => ({
          eventName: `event ${at}`,
          user: {},
          time: at + 1,
        })),
        statsigMetadata: {},
      });
      // Without a response, curl would send the body after its time limit.
      const { status } = await curl(
        ...["-k", "--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "60", "-m", "25"],
        ...["-H", "statsig-api-key: secret-held", "--data-binary", events],
        `${started.relay.urlOf(protocol)}/v1/log_event`,
      );
      expect(status).toBe(202);
    },
  );
});
