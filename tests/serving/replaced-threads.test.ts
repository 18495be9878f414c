import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { GrpcClient } from "../support/clients/grpc-client.ts";
import { faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { decodeForwarded } from "../support/log-events/event-relay.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import type { ThreadConnection } from "../support/serving/thread-connection.ts";
import { startThreadsRelay, THREADS, type ThreadsRelay, threadOf } from "../support/serving/threads-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";

const KEY = "secret-replaced-0123456789";
const SPEC = `/v2/download_config_specs/${KEY}.json`;
const MAX_STREAMS = 2 * THREADS;
const REPLACED = { withinMs: 30_000, everyMs: 100 };

let started: ThreadsRelay;
let version = 0;
beforeAll(async () => {
  started = await startThreadsRelay({ args: ["--grpc-max-concurrent-streams", String(MAX_STREAMS)] });
  publishKey(started.upstream, KEY);
  await fetch(`${started.relay.httpUrl}${SPEC}`);
});
afterAll(() => started[Symbol.asyncDispose]());

const MISSING = [
  "serving_threads_missing",
  `${2 * THREADS - 1} of ${2 * THREADS} serving threads are running`,
];

const linesWith = (text: string) =>
  started.relay
    .output()
    .split("\n")
    .filter((line) => line.includes(text));

const metric = async (name: string, labels: Readonly<Record<string, string>> = {}) =>
  sumOf(await readMetrics(started.relay), name, labels);

/** Resolves when the main thread has handled a signal that was sent before. */
async function signalHandled(): Promise<void> {
  await Bun.sleep(100);
  expect((await started.managed.get("/healthz")).status).toBe(200);
}

/** Compares the gauge with the sockets of the process. */
const expectTrueConnections = (protocol: "http" | "grpc") =>
  eventually(
    async () =>
      expect(await metric("Connections_gauge", { protocol })).toBe(started.relay.openConnections(protocol)),
    REPLACED,
  );

const open = (client: GrpcClient) => client.streamConfigSpec({ sdkKey: KEY, version: 2 });

/** Takes the connections of the thread, and those of all others. */
function split<T>(clients: readonly T[], at: number): readonly [T, readonly T[]] {
  const client = clients[at];
  if (client === undefined) throw new Error(`no client ${at}`);
  return [client, clients.filter((other) => other !== client)];
}

/** Opens a connection to each HTTP thread, and leaves a request waiting on one of them. */
async function occupy(at: number) {
  const [lost, others] = split(await started.openHttp(), at);
  const waiting = `secret-waits-${++version}-0123456789`;
  publishKey(started.upstream, waiting);
  const gate = Promise.withResolvers<void>();
  started.upstream.misbehave({ kind: "none" }, { ...forKey(waiting), until: gate.promise });
  const request = lost.get(`/v2/download_config_specs/${waiting}.json`).catch(() => undefined);
  await eventually(async () => expect(await metric("RequestsInFlight_gauge")).toBe(1), REPLACED);
  return { others, lost, request, release: () => gate.resolve() };
}

async function expectAllServe(http: readonly ThreadConnection[]): Promise<void> {
  for (const connection of http) expect((await connection.get(SPEC)).status).toBe(200);
}

test("an uncaught error ends no thread and no connection", async () => {
  for (const connection of await started.openHttp()) {
    connection.command("throw");
    expect(await connection.thread()).toMatch(/^http-\d$/);
    expect((await connection.get(SPEC)).status).toBe(200);
  }
  await eventually(async () => expect(await metric("UnexpectedError_count_total")).toBe(THREADS), REPLACED);
  expect(linesWith("made up").length).toBeGreaterThan(0);
  expect(await metric("ServingThreadLost_count_total")).toBe(0);
});

describe("a thread that ends", () => {
  test("is replaced; the connections of others stay open, and what it had in flight does not count any more", async () => {
    const { lost, others, request, release } = await occupy(1);
    const doomed = split(await started.openHttp(), 1)[0];
    const headers = { "statsig-api-key": KEY, "content-type": "application/json" };
    const body = JSON.stringify({
      events: [{ eventName: "logged before the end", time: 1_700_000_000_000 }],
    });
    expect((await doomed.send("POST", "/v1/log_event", headers, body)).status).toBe(202);
    lost.command("exit");
    await eventually(
      () => expect(linesWith("serving thread replaced name=http-2")).toHaveLength(1),
      REPLACED,
    );
    expect(await request).toBeUndefined();
    expect(lost.isClosed).toBe(true);
    await expectAllServe(others);
    expect(linesWith("serving thread lost, replacing it name=http-2 reason=died")).toHaveLength(1);
    expect(await metric("RequestsInFlight_gauge")).toBe(0);
    release();
    await expectTrueConnections("http");
    await eventually(
      () => {
        const sent = started.upstream.requests.filter(({ path }) => path === "/v1/log_event");
        expect(sent.map((each) => decodeForwarded(each).text).join()).toContain("logged before the end");
      },
      { withinMs: 20_000 },
    );
    expect(await metric("ServingThreadLost_count_total", { reason: "died" })).toBe(1);
    await expectAllServe(await started.openHttp());
  }, 60_000);
});

// Deno cannot end a Worker that is in an endless loop.
describe.skipIf(isOnDeno)("threads of both kinds that hang", () => {
  test("are replaced; others serve meanwhile, and the limit of streams is exact after that", async () => {
    const { lost, others, request, release } = await occupy(0);
    const [hanging, others2] = split(await started.openGrpc(), 2);
    const streams = [hanging, hanging, ...others2, ...others2].map(open);
    for (const stream of streams) await stream.next();
    lost.command("hang");
    void hanging.checkHeaders("/test/hang").catch(() => undefined);

    let checks = 0;
    const isReplaced = () =>
      ["http-1", "http2-3"].every((name) => linesWith(`serving thread replaced name=${name}`).length === 1);
    for (const until = performance.now() + REPLACED.withinMs; !isReplaced(); checks++) {
      expect(performance.now()).toBeLessThan(until);
      const askedAt = performance.now();
      expect((await started.managed.get("/healthz")).status).toBe(200);
      expect((await started.managed.get("/metrics")).status).toBe(200);
      // It takes some ms on an idle machine, and would take 5 s if it waited for a thread that hangs.
      expect(performance.now() - askedAt).toBeLessThan(4_000);
      await expectAllServe(others);
      await Bun.sleep(100);
    }
    expect(checks).toBeGreaterThan(2);
    expect(
      linesWith("reason=hung")
        .map((line) => /name=(\S+)/.exec(line)?.[1])
        .toSorted(),
    ).toEqual(["http-1", "http2-3"]);
    expect(await metric("ServingThreadLost_count_total", { reason: "hung" })).toBe(2);
    expect(await metric("RequestsInFlight_gauge")).toBe(0);
    expect(await request).toBeUndefined();
    release();

    const { lcut } = publishKey(started.upstream, KEY, ++version);
    for (const stream of streams.slice(2)) expect((await stream.next(10_000)).lastUpdated).toBe(lcut);
    await eventually(async () => {
      expect(await metric("GrpcEstimatedActiveStreams_gauge")).toBe(MAX_STREAMS - 2);
    }, REPLACED);
    for (const protocol of ["http", "grpc"] as const) await expectTrueConnections(protocol);
    const more = [...(await started.openGrpc()), ...others2].map(open);
    const isOpen = await Promise.all(
      more.map((stream) =>
        stream.next().then(
          () => true,
          () => false,
        ),
      ),
    );
    expect(isOpen.filter((each) => each)).toHaveLength(2);
    for (const stream of [...streams, ...more]) stream.cancel();
    await eventually(async () => {
      expect(await metric("GrpcEstimatedActiveStreams_gauge")).toBe(0);
    }, REPLACED);
  }, 120_000);
});

describe("a thread that ends again and again", () => {
  test("is tried with growing delays; others serve, and the status page, metrics and logs say so until it runs", async () => {
    const { managed, relay } = started;
    const [lost, others] = split(await started.openHttp(), 2);
    relay.signal("SIGUSR2");
    await signalHandled();
    lost.command("exit");
    const retries = () =>
      linesWith("serving thread not started, retrying name=http-3").map((line) =>
        Number(/retry_in_ms=(\d+)/.exec(line)?.[1]),
      );
    await eventually(() => expect(retries()).toHaveLength(2), REPLACED);
    // The first replacement of a thread that ran for more than 30 s starts at once, and of another one after a second.
    const [firstMs = 0, secondMs] = retries();
    expect([1_000, 2_000]).toContain(firstMs);
    expect(secondMs).toBe(2 * firstMs);
    await expectAllServe(others);
    expect(await metric("ServingThreads_gauge", { protocol: "http", state: "missing" })).toBe(1);
    const report = await reported(managed, (each) =>
      expect(each.relay.serving_threads).toEqual({ wanted: 2 * THREADS, running: 2 * THREADS - 1 }),
    );
    expect(problemsOf(report)).toContainEqual(MISSING);
    // New connections are for the threads that are left.
    for (let at = 0; at < 20; at++)
      expect((await fetch(`${relay.httpUrl}${SPEC}`, { headers: { connection: "close" } })).status).toBe(200);

    relay.signal("SIGUSR2");
    await eventually(
      () => expect(linesWith("serving thread replaced name=http-3")).toHaveLength(1),
      REPLACED,
    );
    expect(await metric("ServingThreads_gauge", { state: "missing" })).toBe(0);
    await reported(managed, (each) => expect(problemsOf(each)).not.toContainEqual(MISSING));
    await expectAllServe(await started.openHttp());
  }, 120_000);
});

test("after all that the relay stops as usual, also while a thread is missing", async () => {
  const grpc = await started.openGrpc();
  for (const client of grpc) expect(await threadOf(client)).toMatch(/^http2-\d$/);
  const [lost, others] = split(grpc, 0);
  const streams = others.map(open);
  for (const stream of streams) await stream.next();
  started.relay.signal("SIGUSR2");
  await signalHandled();
  void lost.checkHeaders("/test/exit").catch(() => undefined);
  await eventually(() => {
    expect(linesWith("serving thread not started, retrying name=http2-1").length).toBeGreaterThan(0);
  }, REPLACED);
  const exitCode = started.relay.stop();
  for (const stream of streams) expect((await stream.status()).code).toBe(grpcStatus.UNAVAILABLE);
  expect(await exitCode).toBe(0);
}, 60_000);

test("a thread that ends during the start of the relay fails the start", async () => {
  const env = faultEnv({ kind: "worker", script: "serving-worker", how: "terminate", afterMs: 0 });
  const ports = ["--http-port", "0", "--grpc-port", "0", "--serving-threads", "2"];
  const args = ["--bind-address", "127.0.0.1", ...ports, "grpc-and-http", "disabled"];
  const { exitCode, stderr } = await runRelay(args, env);
  expect([exitCode, stderr]).toEqual([
    1,
    "error: a serving thread did not start: it ended (give the relay more memory, or lower --serving-threads)\n",
  ]);
});
