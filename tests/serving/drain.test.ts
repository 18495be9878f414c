import { expect, test } from "bun:test";
import { status as grpcStatus } from "@grpc/grpc-js";
import { eventually } from "../support/common/wait.ts";
import { startThreadsRelay, THREADS } from "../support/serving/threads-relay.ts";
import { sumOf } from "../support/telemetry/statsd-lines.ts";
import { UdpListener } from "../support/telemetry/udp-listener.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";

const KEY = "secret-drained-0123456789";
const PATIENCE = { withinMs: 15_000 };
const specPath = (sdkKey: string) => `/v2/download_config_specs/${sdkKey}.json`;

test("on SIGTERM every thread ends its streams, finishes what is in flight, and hands over what it counted", async () => {
  using agent = await UdpListener.start();
  // Values are pushed when the relay stops.
  const env = { STATSD_PORT_OVERRIDE: String(agent.port), DATADOG_MAX_BATCH_TIME_MS: "600000" };
  await using started = await startThreadsRelay({ args: ["--statsd-logging"], env });
  const { upstream, relay } = started;
  publishKey(upstream, KEY);
  const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
  const idle = await started.openHttp();
  for (let round = 0; round < 4; round++) {
    for (const connection of http) expect((await connection.get(specPath(KEY))).status).toBe(200);
    for (const client of grpc) await client.getConfigSpec({ sdkKey: KEY, version: 2 });
  }
  const streams = grpc.map((client) => client.streamConfigSpec({ sdkKey: KEY, version: 2 }));
  for (const stream of streams) await stream.next();

  const gate = Promise.withResolvers<void>();
  const slow = http.map((_, at) => `secret-slow-${at}-0123456789`);
  for (const sdkKey of slow) {
    publishKey(upstream, sdkKey);
    upstream.misbehave({ kind: "none" }, { ...forKey(sdkKey), until: gate.promise });
  }
  const answers = http.map((connection, at) => connection.get(specPath(slow[at] ?? "")));
  await eventually(() => expect(upstream.count(/secret-slow/)).toBe(THREADS), PATIENCE);
  const exitCode = relay.stop();
  for (const stream of streams) {
    const { code, details } = await stream.status();
    expect([code, details]).toEqual([grpcStatus.UNAVAILABLE, expect.stringContaining("shutting down")]);
  }
  await eventually(() => expect(idle.every(({ isClosed }) => isClosed)).toBe(true), PATIENCE);
  gate.resolve();
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(slow.map(() => 200));
  expect(await exitCode).toBe(0);
  expect(relay.output()).not.toContain("serving thread lost");

  const requests = 5 * THREADS;
  await eventually(() => {
    expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(requests);
    expect(sumOf(agent.datagrams, "GrpcServerRequest.count")).toBe(4 * THREADS);
    expect(sumOf(agent.datagrams, "GrpcStreamingStreamedInitialized.count")).toBe(THREADS);
    expect(sumOf(agent.datagrams, "GrpcStreamingStreamDisconnected.count")).toBe(THREADS);
  }, PATIENCE);
}, 60_000);

test("on every thread a watch of health and a Check are NOT_SERVING during the delay, and the watch ends after it", async () => {
  await using started = await startThreadsRelay({ args: ["--shutdown-delay-in-s", "600"] });
  const clients = await started.openGrpc();
  const watches = clients.map((client) => client.watchHealth());
  for (const watch of watches) expect((await watch.next()).status).toBe("SERVING");
  started.relay.signal("SIGTERM");
  for (const watch of watches) expect((await watch.next()).status).toBe("NOT_SERVING");
  for (const client of clients) expect(await client.checkHealth()).toBe("NOT_SERVING");
  const exitCode = started.relay.stop();
  for (const watch of watches) expect((await watch.status()).code).toBe(grpcStatus.UNAVAILABLE);
  expect(await exitCode).toBe(0);
}, 30_000);

test("a thread that hangs delays the end for the grace period, and others finish what is in flight", async () => {
  await using started = await startThreadsRelay({ args: ["--shutdown-grace-in-s", "2"] });
  const { upstream, relay } = started;
  const [hanging, other] = await started.openHttp();
  const { sdkKey } = publishKey(upstream, "secret-slow-0123456789");
  const gate = Promise.withResolvers<void>();
  upstream.misbehave({ kind: "none" }, { ...forKey(sdkKey), until: gate.promise });
  const answer = other?.get(specPath(sdkKey));
  await eventually(() => expect(upstream.count(specPath(sdkKey))).toBe(1), PATIENCE);
  await hanging?.hang();
  const exitCode = relay.stop();
  gate.resolve();
  expect((await answer)?.status).toBe(200);
  expect(await exitCode).toBe(0);
}, 30_000);
