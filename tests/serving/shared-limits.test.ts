import { expect, test } from "bun:test";
import type { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { ThreadConnection } from "../support/serving/thread-connection.ts";
import { startThreadsRelay, THREADS, type ThreadsRelay } from "../support/serving/threads-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { masked } from "../support/telemetry/status-report.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";

const KEY = "secret-limited-0123456789";
const MANY = 40;
const PATIENCE = { withinMs: 15_000 };
const each = Array.from({ length: MANY }, (_, at) => at);
const specPath = (sdkKey: string) => `/v2/download_config_specs/${sdkKey}.json`;

/** Starts a relay that holds a key. */
async function startHolding(args: readonly string[]): Promise<ThreadsRelay> {
  const started = await startThreadsRelay({ args });
  publishKey(started.upstream, KEY);
  await fetch(`${started.relay.httpUrl}${specPath(KEY)}`, { headers: { connection: "close" } });
  return started;
}

/** A thread that is busy reports what it counted a moment later. */
const expectReached = ({ relay }: ThreadsRelay, limit: string, times: number) =>
  eventually(
    async () => expect(sumOf(await readMetrics(relay), "LimitReached_count_total", { limit })).toBe(times),
    PATIENCE,
  );

test("a limit of streams is never exceeded, and no stream is rejected while there is room, whichever thread has it", async () => {
  await using started = await startHolding(["--grpc-max-concurrent-streams", "7"]);
  const clients = await started.openGrpc();
  const open = async (client: GrpcClient) => {
    const stream = client.streamConfigSpec({ sdkKey: KEY });
    const isOpen = await stream.next(10_000).then(
      () => true,
      () => false,
    );
    return { stream, isOpen };
  };
  const flood = () => Promise.all(each.map((at) => open(clients[at % THREADS] as GrpcClient)));
  const openStreams = async () => sumOf(await readMetrics(started.relay), "GrpcEstimatedActiveStreams_gauge");
  for (let round = 0; round < 3; round++) {
    const opened = (await flood()).filter(({ isOpen }) => isOpen);
    expect(opened).toHaveLength(7);
    await eventually(async () => expect(await openStreams()).toBe(7), PATIENCE);
    for (const client of clients) expect(await client.checkHealth()).toBe("NOT_SERVING");
    // Room that one thread makes is room for each other one.
    for (const [at, { stream }] of opened.entries()) {
      stream.cancel();
      await eventually(async () => expect(await openStreams()).toBe(6), PATIENCE);
      const next = await open(clients[at % THREADS] as GrpcClient);
      expect(next.isOpen).toBe(true);
      opened[at] = next;
    }
    for (const { stream } of opened) stream.cancel();
    await eventually(async () => expect(await openStreams()).toBe(0), PATIENCE);
    for (const client of clients) expect(await client.checkHealth()).toBe("SERVING");
  }
  await eventually(async () => {
    const refused = sumOf(await readMetrics(started.relay), "GrpcStreamRefused_count_total");
    expect(refused).toBe(3 * (MANY - 7));
  }, PATIENCE);
}, 90_000);

test("a limit of connections is exact, and a connection that closes makes room on every thread", async () => {
  await using started = await startHolding(["--max-connections", "15"]);
  const { relay } = started;
  const count = async () => sumOf(await readMetrics(relay), "Connections_gauge", { protocol: "http" });
  const open = async (): Promise<ThreadConnection | undefined> => {
    try {
      const connection = await ThreadConnection.open(relay.httpUrl);
      await connection.thread();
      return connection;
    } catch {
      return undefined;
    }
  };
  await eventually(async () => expect(await count()).toBe(0), PATIENCE);
  for (let round = 0; round < 3; round++) {
    const opened = (await Promise.all(each.map(open))).filter((connection) => connection !== undefined);
    expect(opened).toHaveLength(15);
    await eventually(async () => expect(await count()).toBe(15), PATIENCE);
    for (let at = 0; at < 8; at++) {
      opened[at]?.[Symbol.dispose]();
      await eventually(async () => expect(await count()).toBe(14), PATIENCE);
      const next = await open();
      expect(next).toBeDefined();
      if (next !== undefined) opened[at] = next;
    }
    for (const connection of opened) connection[Symbol.dispose]();
    await eventually(async () => expect(await count()).toBe(0), PATIENCE);
  }
  await expectReached(started, "max-connections", 3 * (MANY - 15));
}, 90_000);

test("a limit of requests in flight is exact over HTTP and gRPC, and requests for cached keys are served beyond it", async () => {
  const MAX = 10;
  await using started = await startHolding([
    ...[
      "--max-concurrent-requests",
      String(MAX),
      "--unknown-key-rate-per-s",
      "10000",
      "--max-in-flight",
      "100",
    ],
  ]);
  const { upstream, relay } = started;
  const http = await started.openHttp();
  const grpc = await started.openGrpc();
  for (let round = 0; round < 3; round++) {
    const keys = each.map((at) => `secret-waiting-${round}-${at}-0123456789`);
    for (const sdkKey of keys) publishKey(upstream, sdkKey);
    const gate = Promise.withResolvers<void>();
    const isAsked = ({ path }: { readonly path: string }) =>
      keys.some((sdkKey) => forKey(sdkKey).when({ path }));
    const restore = upstream.misbehave({ kind: "none" }, { when: isAsked, until: gate.promise });
    const askHttp = async (sdkKey: string) =>
      (await fetch(`${relay.httpUrl}${specPath(sdkKey)}`, { headers: { connection: "close" } })).status ===
      200;
    const askGrpc = (sdkKey: string, client: GrpcClient) =>
      client.getConfigSpec({ sdkKey, version: 2 }).then(
        () => true,
        () => false,
      );
    const asked = keys.map((sdkKey, at) =>
      at % 2 === 0 ? askHttp(sdkKey) : askGrpc(sdkKey, grpc[at % THREADS] as GrpcClient),
    );
    await eventually(() => expect(upstream.requests.filter(isAsked)).toHaveLength(MAX), PATIENCE);
    let rejected = 0;
    for (const answer of asked) void answer.then((isServed) => (rejected += Number(!isServed)));
    await eventually(() => expect(rejected).toBe(MANY - MAX), PATIENCE);
    for (const connection of http) expect((await connection.get(specPath(KEY))).status).toBe(200);
    restore();
    gate.resolve();
    expect((await Promise.all(asked)).filter((isServed) => isServed)).toHaveLength(MAX);
  }
  await expectReached(started, "max-concurrent-requests", 3 * (MANY - MAX));
}, 90_000);

test("beyond a limit of keys, those that streams of any thread follow or clients of any thread used last stay", async () => {
  await using started = await startThreadsRelay({ args: ["-m", "5", "--unknown-key-rate-per-s", "10000"] });
  const { upstream, relay, managed } = started;
  const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
  const [first, second, third] = http;
  const publish = (name: string) => publishKey(upstream, `secret-${name}-0123456789`).sdkKey;
  const followed = grpc.map((_, at) => publish(`followed-${at}`));
  const streams = grpc.map((client, at) =>
    client.streamConfigSpec({ sdkKey: followed[at] ?? "", version: 2 }),
  );
  for (const stream of streams) await stream.next();
  const [used, unused, newest] = [publish("used"), publish("unused"), publish("newest")];
  await first?.get(specPath(used));
  await second?.get(specPath(unused));
  // The threads report once a second which keys they use.
  await Bun.sleep(1_500);
  await second?.get(specPath(used));
  await Bun.sleep(1_500);
  await third?.get(specPath(newest));
  await eventually(async () => {
    const held = (await managed.status()).feeds.map((feed) => feed.sdk_key);
    expect(new Set(held)).toEqual(new Set([...followed, used, newest].map(masked)));
  }, PATIENCE);
  for (let number = 0; number < 12; number++) {
    const sdkKey = publish(`passing-${number}`);
    expect((await fetch(`${relay.httpUrl}${specPath(sdkKey)}`)).status).toBe(200);
  }
  const { lcut } = followed.map((sdkKey) => publishKey(upstream, sdkKey, 1))[0] ?? { lcut: 0 };
  for (const stream of streams) expect((await stream.next(10_000)).lastUpdated).toBe(lcut);
}, 60_000);
