import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { decodeForwarded } from "../support/log-events/event-relay.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { ThreadConnection } from "../support/serving/thread-connection.ts";
import { startThreadsRelay, THREADS, type ThreadsRelay, threadOf } from "../support/serving/threads-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { masked, reported } from "../support/telemetry/status-report.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";

const MANY = 60;
const UPDATES = 4;
const PATIENCE = { withinMs: 15_000 };
const each = Array.from({ length: MANY }, (_, at) => at);
const specPath = (sdkKey: string) => `/v2/download_config_specs/${sdkKey}.json`;

let started: ThreadsRelay;
beforeAll(async () => {
  started = await startThreadsRelay();
});
afterAll(() => started[Symbol.asyncDispose]());

/** Publishes a key, and makes the relay fetch it. */
async function hold(sdkKey: string): Promise<string> {
  publishKey(started.upstream, sdkKey);
  expect((await fetch(`${started.relay.httpUrl}${specPath(sdkKey)}`)).status).toBe(200);
  return sdkKey;
}

const metric = async (name: string, labels: Readonly<Record<string, string>> = {}) =>
  sumOf(await readMetrics(started.relay), name, labels);

describe("connections are spread over all threads", () => {
  /** A third of the connections would be 20. Fewer than 5 happens once in a million runs. */
  const expectSpread = (threads: readonly string[]) => {
    const counts = [...Map.groupBy(threads, (name) => name).values()].map(({ length }) => length);
    expect(counts).toHaveLength(THREADS);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(5);
  };

  test("of the HTTP port", async () => {
    using clients = new DisposableStack();
    const open = async () => clients.use(await ThreadConnection.open(started.relay.httpUrl)).thread();
    expectSpread(await Promise.all(each.map(open)));
  });

  test("of the gRPC port", async () => {
    using clients = new DisposableStack();
    const open = () => threadOf(clients.use(new GrpcClient(started.relay.grpcUrl)));
    expectSpread(await Promise.all(each.map(open)));
  });
});

test("a version never goes back on a connection of any thread while updates arrive, and all threads get the newest", async () => {
  const sdkKey = await hold("secret-updated-0123456789");
  const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
  const newest = FIRST_LCUT + UPDATES * 60_000;
  const poll = async (connection: ThreadConnection) => {
    let polls = 0;
    for (let last = 0; last < newest; polls++) {
      const { headers } = await connection.get(specPath(sdkKey));
      const lcut = Number(headers.get("x-since-time"));
      expect(lcut).toBeGreaterThanOrEqual(last);
      last = lcut;
    }
    return polls;
  };
  const pollRpc = async (client: GrpcClient) => {
    for (let last = 0; last < newest; await Bun.sleep(5)) {
      const { lastUpdated } = (await client.getConfigSpec({ sdkKey, version: 2 })).message;
      expect(lastUpdated).toBeGreaterThanOrEqual(last);
      last = lastUpdated;
    }
  };
  const follow = async (client: GrpcClient) => {
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    for (let last = 0; last < newest; ) {
      const { lastUpdated } = await stream.next(20_000);
      expect(lastUpdated).toBeGreaterThanOrEqual(last);
      last = lastUpdated;
    }
  };
  const polling = Promise.all(http.map(poll));
  const others = Promise.all(grpc.flatMap((client) => [pollRpc(client), follow(client)]));
  for (let number = 1; number <= UPDATES; number++) {
    const { lcut } = publishKey(started.upstream, sdkKey, number);
    await eventually(async () => {
      expect(await metric("ConfigSpecLcutTimestampMs_gauge", keyOf(sdkKey))).toBe(lcut);
    }, PATIENCE);
  }
  expect(Math.min(...(await polling))).toBeGreaterThan(5);
  await others;
}, 60_000);

const keyOf = (sdkKey: string) => ({ sdk_key: masked(sdkKey) });

describe("metrics have what every thread counted", () => {
  test("HTTP requests and unary RPCs, each once", async () => {
    const sdkKey = await hold("secret-counted-everywhere-0123");
    const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
    // Threads that are not asked report twice a second. What one counted that is busy for long is in the next reading.
    let exactInARow = 0;
    for (let round = 1; exactInARow < 5; round++) {
      expect(round).toBeLessThan(60);
      for (const connection of http) await connection.get(specPath(sdkKey));
      for (const client of grpc) await client.getConfigSpec({ sdkKey, version: 2 });
      let readings = 0;
      await eventually(async () => {
        readings++;
        const samples = await readMetrics(started.relay);
        const counted = ["HttpServerRequestSuccess_count_total", "GrpcServerRequest_count_total"].map(
          (name) => sumOf(samples, name, keyOf(sdkKey)),
        );
        expect(counted).toEqual([1 + round * THREADS, round * THREADS]);
      }, PATIENCE);
      exactInARow = readings === 1 ? exactInARow + 1 : 0;
    }
  }, 60_000);

  test("open streams, until they end", async () => {
    const sdkKey = await hold("secret-streamed-0123456789");
    const active = () => metric("GrpcEstimatedActiveStreams_gauge", keyOf(sdkKey));
    const grpc = await started.openGrpc();
    const streams = grpc.flatMap((client) =>
      [0, 1].map(() => client.streamConfigSpec({ sdkKey, version: 2 })),
    );
    for (const stream of streams) await stream.next();
    await eventually(async () => expect(await active()).toBe(2 * THREADS), PATIENCE);
    for (const [at, stream] of streams.entries()) {
      stream.cancel();
      await eventually(async () => expect(await active()).toBe(2 * THREADS - 1 - at), PATIENCE);
    }
    await reported(started.managed, ({ traffic }) => expect(traffic.streams).toBe(0));
  }, 60_000);

  test("connections and requests in flight, which return to 0", async () => {
    const { relay, managed } = started;
    await eventually(async () => {
      const { connections } = (await managed.status()).traffic;
      expect(connections["http"]).toBe(relay.openConnections("http"));
      expect(connections["grpc"]).toBe(relay.openConnections("grpc"));
    }, PATIENCE);
    await eventually(async () => expect(await metric("RequestsInFlight_gauge")).toBe(0), PATIENCE);
    expect(await metric("ServingThreads_gauge", { state: "running" })).toBe(2 * THREADS);
    expect(await metric("ServingThreads_gauge", { state: "missing" })).toBe(0);
  });
});

test("log events that any thread accepts are forwarded, and a repeated exposure is forwarded once", async () => {
  const { upstream } = started;
  const sdkKey = await hold("secret-logged-0123456789");
  const exposure = {
    eventName: "statsig::gate_exposure",
    user: { userID: "u" },
    metadata: { gate: "g", gateValue: "true", ruleID: "r" },
    time: 1_700_000_000_000,
  };
  const http = await started.openHttp();
  for (const [at, connection] of http.entries()) {
    const own = { eventName: `own-${at}`, time: exposure.time + at };
    const body = JSON.stringify({ events: [own, exposure], statsigMetadata: {} });
    const headers = { "statsig-api-key": sdkKey, "content-type": "application/json" };
    expect((await connection.send("POST", "/v1/log_event", headers, body)).status).toBe(202);
  }
  await eventually(
    () => {
      const sent = upstream.requests.filter(
        ({ path, headers }) => path === "/v1/log_event" && headers["statsig-api-key"] === sdkKey,
      );
      const names = sent.map(decodeForwarded).flatMap(({ events }) => events.map(nameOf));
      expect(names.toSorted()).toEqual([...http.map((_, at) => `own-${at}`), exposure.eventName].toSorted());
    },
    { withinMs: 20_000 },
  );
}, 30_000);

const nameOf = (event: unknown): string => (event as { readonly eventName: string }).eventName;

test("probes say the same on every thread", async () => {
  const { relay, managed } = started;
  for (const connection of await started.openHttp()) {
    for (const probe of ["health", "startup", "ready"])
      expect((await connection.get(`/v1/${probe}`)).status).toBe(200);
  }
  for (const client of await started.openGrpc()) expect(await client.checkHealth()).toBe("SERVING");
  const { port } = new URL(managed.url);
  const ports = ["--http-port", String(relay.httpPort), "--grpc-port", String(relay.grpcPort)];
  const args = ["--bind-address", "127.0.0.1", ...ports, "--management-port"];
  for (const management of [port, "0"]) {
    const run = await runRelay(["healthcheck", "grpc-and-http", "disabled", ...args, management]);
    expect([run.exitCode, run.stdout.slice(0, 5)]).toEqual([0, "ready"]);
  }
  // A script has no other name.
  if (isOnDeno) return;
  const grpc = await runRelay([`-addr=127.0.0.1:${relay.grpcPort}`], {}, "/usr/local/bin/grpc-health-probe");
  expect([grpc.exitCode, grpc.stderr]).toEqual([0, "status: SERVING\n"]);
}, 30_000);
