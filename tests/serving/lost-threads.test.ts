import { describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-lost-0123456789abcdef";
const LIMIT_MS = 60_000;

/** Longer than a thread may hang before it is replaced. */
const REPLACED = { withinMs: 30_000, everyMs: 100 };

/** A relay whose first serving thread ends or hangs on SIGUSR2. */
async function startLosing(how: "terminate" | "hang", mode: "http" | "grpc") {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  publishKey(upstream, KEY);
  const env = faultEnv({ kind: "worker", script: "serving-worker", how, afterMs: "SIGUSR2" });
  const args = ["--serving-threads", "2"];
  const managed = stack.use(await startManagedRelay({ upstream, mode, args, env }));
  const owned = stack.move();
  return {
    managed,
    lose: () => managed.relay.signal("SIGUSR2"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Asks over a connection of its own. Returns undefined if there is no response in time. */
async function askOnce({ relay }: ManagedRelay): Promise<number | undefined> {
  try {
    const url = `${relay.httpUrl}/v2/download_config_specs/${KEY}.json`;
    const headers = { connection: "close" };
    return (await fetch(url, { headers, signal: AbortSignal.timeout(1_000) })).status;
  } catch {
    return undefined;
  }
}

const askMany = (managed: ManagedRelay, count = 24) =>
  Promise.all(Array.from({ length: count }, () => askOnce(managed)));

const metric = async (managed: ManagedRelay, line: RegExp) =>
  Number(line.exec((await managed.get("/metrics")).body.toString())?.[1] ?? Number.NaN);

const RUNNING = /^statsig_forward_proxy_ServingThreads_gauge\{protocol="http2?",state="running"\} (\d+)$/m;

describe("a serving thread that hangs", () => {
  test(
    "is replaced, and meanwhile the other threads and the management port respond",
    async () => {
      await using relay = await startLosing("hang", "http");
      const { managed, lose } = relay;
      await ask(managed.relay, KEY);
      expect(await askMany(managed)).not.toContain(undefined);
      lose();
      await eventually(async () => expect(await askMany(managed)).toContain(undefined));
      expect(await askMany(managed)).toContain(200);
      expect((await managed.get("/healthz")).status).toBe(200);
      expect((await managed.get("/metrics")).status).toBe(200);
      await eventually(
        () => expect(managed.relay.output()).toContain("serving thread replaced name=http-1"),
        REPLACED,
      );
      expect(managed.relay.output()).toMatch(/serving thread lost, replacing it name=http-1 reason=hung/);
      const answers = await askMany(managed);
      expect(answers.every((status) => status === 200)).toBe(true);
      expect(await metric(managed, RUNNING)).toBe(2);
      expect(await metric(managed, /ServingThreadLost_count_total\{reason="hung"\} (\d+)/)).toBe(1);
      const report = await reported(managed, (each) =>
        expect(each.relay.serving_threads).toEqual({ wanted: 2, running: 2 }),
      );
      expect(problemsOf(report)).toEqual([]);
      expect(await managed.relay.stop()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "does not delay the shutdown beyond the grace period",
    async () => {
      await using relay = await startLosing("hang", "http");
      const { managed, lose } = relay;
      await ask(managed.relay, KEY);
      lose();
      await eventually(async () => expect(await askMany(managed)).toContain(undefined));
      expect(await managed.relay.stop()).toBe(0);
    },
    LIMIT_MS,
  );
});

test("clients are served while the main thread is blocked, and nothing is lost after that", async () => {
  await using upstream = await startUpstream();
  publishKey(upstream, KEY);
  const env = faultEnv({ kind: "block", ms: 3_000, afterMs: "SIGUSR2" });
  await using managed = await startManagedRelay({ upstream, mode: "http", env });
  await ask(managed.relay, KEY);
  managed.relay.signal("SIGUSR2");
  const management = managed.get("/healthz").then(({ status }) => status);
  await Bun.sleep(500);
  let isBlocked = true;
  void management.then(() => (isBlocked = false));
  const answers = await askMany(managed);
  expect([isBlocked, new Set(answers)]).toEqual([true, new Set([200])]);
  expect(await management).toBe(200);
  expect(managed.relay.output()).not.toContain("serving thread lost");
  const counted = sumOf(await readMetrics(managed.relay), "HttpServerRequestSuccess_count_total");
  expect(counted).toBe(1 + answers.length);
});

test(
  "the relay is not ready while no thread serves a port",
  async () => {
    await using upstream = await startUpstream();
    const env = faultEnv({ kind: "worker", script: "serving-worker", how: "hang", afterMs: "SIGUSR2" });
    await using managed = await startManagedRelay({ upstream, mode: "http", env });
    expect((await managed.get("/readyz")).status).toBe(200);
    managed.relay.signal("SIGUSR2");
    await eventually(async () => {
      const { status, body } = await managed.get("/readyz");
      expect([status, body.toString()]).toEqual([
        503,
        expect.stringContaining("no thread serves the http port"),
      ]);
    }, REPLACED);
    await eventually(async () => expect((await managed.get("/readyz")).status).toBe(200), REPLACED);
  },
  LIMIT_MS,
);

describe("a serving thread that dies", () => {
  test(
    "is replaced at once; its connections and requests no longer count, and its streams can be opened again",
    async () => {
      await using relay = await startLosing("terminate", "grpc");
      const { managed, lose } = relay;
      const { grpcUrl } = managed.relay;
      await using clients = new AsyncDisposableStack();
      const open = async () => {
        const client = clients.use(new GrpcClient(grpcUrl));
        const stream = client.streamConfigSpec({ sdkKey: KEY });
        await stream.next();
        return stream;
      };
      for (let at = 0; at < 16; at++) await open();
      const streams = async () => (await managed.status()).traffic;
      await eventually(async () => expect(await streams()).toMatchObject({ streams: 16 }));
      lose();
      await eventually(
        () => expect(managed.relay.output()).toContain("serving thread replaced name=http2-1"),
        REPLACED,
      );
      expect(managed.relay.output()).toMatch(/serving thread lost, replacing it name=http2-1 reason=died/);
      await eventually(async () => {
        const { streams: left, connections } = await streams();
        expect(left).toBeLessThan(16);
        expect(connections["grpc"]).toBe(left);
        const active = await metric(managed, /GrpcEstimatedActiveStreams_gauge\{[^}]*\} (\d+)/);
        expect(active).toBe(left);
      }, REPLACED);
      for (let at = 0; at < 4; at++) await open();
      expect(await metric(managed, RUNNING)).toBe(2);
    },
    LIMIT_MS,
  );
});
