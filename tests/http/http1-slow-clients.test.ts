import { expect } from "bun:test";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { testsWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { specPath, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const { describe, test } = testsWith("openssl");

const KEY = "secret-slowly";
const LCUT = 1_700_000_000_000;
const BYTES = 2_000_000;
/** Longer in total than a closing connection is kept. */
const PAUSE_MS = 40;
const CHUNK_BYTES = 24_000;

const started = async (args: readonly string[] = []): Promise<TlsRelay> => {
  const relay = await startTlsRelay(args);
  const text = JSON.stringify(padTo(specV2({ lcut: LCUT, sdkKey: KEY }), BYTES));
  relay.upstream.publish(KEY, "v2", text, LCUT);
  expect(await relay.statusOf("http", specPath(KEY))).toBe(200);
  return relay;
};

/** Reads chunk by chunk with a pause after each, and calls `onChunk` before each pause. Resolves with the number of bytes. */
async function readSlowly(url: string, head: string, onChunk = () => {}): Promise<number> {
  const { hostname, port, protocol } = new URL(url);
  const to = { host: hostname, port: Number(port), allowHalfOpen: true };
  const socket = protocol === "http:" ? connect(to) : connectTls({ ...to, rejectUnauthorized: false });
  let [bytes, error] = [0, ""];
  socket.on("error", ({ message }) => {
    error = message;
  });
  socket.write(head);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    onChunk();
    await sleep((PAUSE_MS * (chunk as Buffer).length) / CHUNK_BYTES);
  }
  socket.destroy();
  if (error !== "") throw new Error(error);
  return bytes;
}

describe.each(["http", "https"] as const)("a client that reads slowly on the %s port", (protocol) => {
  test.each([
    ["with Connection: close", `GET ${specPath(KEY)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`],
    ["by HTTP/1.0", `GET ${specPath(KEY)} HTTP/1.0\r\n\r\n`],
  ])(
    "receives all of its last response (%s)",
    async (_, head) => {
      await using relay = await started();
      expect(await readSlowly(relay.relay.urlOf(protocol), head)).toBeGreaterThan(BYTES);
    },
    30_000,
  );

  test("receives all of a response that is being sent at SIGTERM", async () => {
    await using relay = await started(["--shutdown-grace-in-s", "20"]);
    const head = `GET ${specPath(KEY)} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const begun = Promise.withResolvers<void>();
    const read = readSlowly(relay.relay.urlOf(protocol), head, begun.resolve);
    await Promise.race([begun.promise, read]);
    relay.relay.signal("SIGTERM");
    expect(await read).toBeGreaterThan(BYTES);
    expect(await relay.relay.exited()).toBe(0);
  }, 40_000);
});

test("a stream over plain HTTP ends at SIGTERM with its last message, also without TLS", async () => {
  await using upstream = await startUpstream();
  publishKey(upstream, KEY);
  await using relay = await startRelayProcess({ upstream, mode: "http" });
  using connection = await RawConnection.open(relay.httpUrl);
  const message = rpcFrame(JSON.stringify({ sdkKey: KEY, version: "v2" })).toString("latin1");
  connection.write(
    `POST /statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec HTTP/1.1\r\nHost: a\r\nContent-Type: application/connect+json\r\nContent-Length: ${message.length}\r\n\r\n${message}`,
  );
  await connection.until("specs", () => (connection.text.includes('"spec":') ? true : undefined));
  const began = performance.now();
  expect(await relay.stop()).toBe(0);
  // Within the grace period. The connection is still read from for two seconds.
  expect(performance.now() - began).toBeLessThan(8_000);
  await eventually(() => expect(connection.text).toContain("The relay is shutting down"), {
    withinMs: 15_000,
  });
});
