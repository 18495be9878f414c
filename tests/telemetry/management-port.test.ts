import { describe, expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const PATIENCE = { withinMs: 15_000 };

async function startManaged(args: readonly string[] = [], mode: "grpc" | "http" = "http") {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const port = String(await freePort());
  const relay = stack.use(
    await startRelayProcess({ upstream, mode, args: ["--management-port", port, ...args] }),
  );
  const owned = stack.move();
  const get = (path: string) => rawGet(`${relay.urlOf("management")}${path}`);
  return { upstream, relay, get, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("the management port", () => {
  test.each(["http", "grpc"] as const)("serves probes and metrics in mode %s", async (mode) => {
    await using managed = await startManaged([], mode);
    expect((await managed.get("/healthz")).status).toBe(200);
    expect((await managed.get("/readyz")).status).toBe(200);
    const metrics = await managed.get("/metrics");
    expect(metrics.headers["content-type"]).toStartWith("text/plain; version=0.0.4");
    expect(metrics.body.toString()).toContain(
      `statsig_forward_proxy_Connections_gauge{protocol="${mode}"} 0`,
    );
  });

  test("reports why the relay is not ready", async () => {
    await using managed = await startManaged(["--preload-sdk-keys", "secret-not-there-yet"]);
    managed.upstream.misbehave(status(500));
    const { status: code, body } = await managed.get("/readyz");
    expect(code).toBe(503);
    expect(body.toString()).toContain("1 of 1 preloaded keys have no data yet: secret-not*");
  });

  test("counts reached limits and rejected keys", async () => {
    const args = ["--max-url-length", "300", "--allowed-sdk-keys", "secret-mine"];
    await using managed = await startManaged(args);
    publishKey(managed.upstream, "secret-mine");
    const { httpUrl } = managed.relay;
    expect((await rawGet(`${httpUrl}/v1/${"a".repeat(300)}`)).status).toBe(414);
    expect((await rawGet(`${httpUrl}/v1/download_config_specs/secret-theirs.json`)).status).toBe(401);
    // The serving threads report such events within a moment.
    const text = await eventually(async () => {
      const shown = (await managed.get("/metrics")).body.toString();
      expect(shown).toContain('statsig_forward_proxy_LimitReached_count_total{limit="max-url-length"} 1');
      expect(shown).toContain('statsig_forward_proxy_KeyRefused_count_total{reason="not_allowed"} 1');
      return shown;
    }, PATIENCE);
    expect(text).not.toContain("secret-");
  });

  test("shows open connections within a second", async () => {
    await using managed = await startManaged();
    const before = Array.from({ length: 20 }, () => fetchKeptOpen(managed.relay.httpUrl));
    await Promise.all(before);
    await eventually(async () => {
      const text = (await managed.get("/metrics")).body.toString();
      const shown = /Connections_gauge\{protocol="http"\} (\d+)/.exec(text)?.[1];
      expect(Number(shown)).toBeGreaterThanOrEqual(15);
    }, PATIENCE);
    for (const socket of await Promise.all(before)) socket.end();
  });

  test("a port in use is reported with its option", async () => {
    await using managed = await startManaged();
    const { port } = new URL(managed.relay.urlOf("management"));
    const args = ["--bind-address", "127.0.0.1", "--http-port", "0", "--management-port", port];
    const { exitCode, stderr } = await runRelay([...args, "http", "disabled"]);
    expect([exitCode, stderr]).toEqual([
      1,
      `error: cannot listen on --management-port ${port} of --bind-address "127.0.0.1": the port is in use\n`,
    ]);
  });
});

/** A connection on which a request was answered, and which waits for the next. */
async function fetchKeptOpen(url: string) {
  const { hostname, port } = new URL(url);
  const socket = await Bun.connect({ hostname, port: Number(port), socket: { data: () => {} } });
  socket.write("GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n");
  return socket;
}
