import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { framesOf } from "../support/profiling/decoded-profile.ts";
import { startProfiledRelay } from "../support/profiling/profiled-relay.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayOptions, startRelayProcess } from "../support/relay/relay-process.ts";
import {
  ask,
  startKnownUpstream,
  startOtlpReceiver,
  startOtlpRelay,
} from "../support/telemetry/otlp-relay.ts";
import { sumOf } from "../support/telemetry/statsd-lines.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-binary-"));
const binary = join(folder, "statsig-forward-proxy");
const outer = process.env["SFP_TEST_BINARY"];
const isMissing = (command: string) => (process.env["SFP_TEST_MISSING"] ?? "").split(",").includes(command);

beforeAll(() => {
  const script = fileURLToPath(new URL("../../scripts/build.ts", import.meta.url));
  const built = Bun.spawnSync([process.execPath, script, "--outfile", binary]);
  if (!built.success) throw new Error(built.stderr.toString());
  process.env["SFP_TEST_BINARY"] = binary;
}, 60_000);
afterAll(() => {
  if (outer === undefined) delete process.env["SFP_TEST_BINARY"];
  else process.env["SFP_TEST_BINARY"] = outer;
  rmSync(folder, { recursive: true, force: true });
});

/** Bundling must include the Workers, the patched Redis client and the generated code. */
async function expectServes(options: RelayOptions): Promise<void> {
  await using upstream = await startUpstream();
  const key = publishKey(upstream, "secret-binary");
  const relay = await startRelayProcess({ upstream, ...options });
  await using _ = relay;
  using client = new GrpcClient(relay.grpcUrl);
  using stream = client.streamConfigSpec({ sdkKey: key.sdkKey, version: 2 });
  expect((await stream.next()).spec).toBe(key.v2);
  const newer = publishKey(upstream, key.sdkKey, 1);
  expect((await stream.next()).spec).toBe(newer.v2);
  const url = `${relay.httpUrl}/v1/download_config_specs/${key.sdkKey}.json`;
  await eventually(async () =>
    expect(textOf(await rawGet(url, { "accept-encoding": "zstd" }))).toBe(newer.v1),
  );
  expect(await relay.stop()).toBe(0);
}

describe("the compiled binary", () => {
  test("serves without a backup", () => expectServes({ cache: "disabled" }));

  test("names functions and files of the sources in profiles", async () => {
    await using profiled = await startProfiledRelay();
    await using _load = await profiled.load();
    const frames = framesOf(await profiled.take("profile?seconds=2"), "http-");
    expect([...frames]).toContain("received src/http/http1/connection.ts");
    const held = framesOf(await profiled.take("heap"), "main");
    expect([...held].join("\n")).toMatch(/SpecStore|MetricRegistry|Supervisor/);
  });

  test("serves with the local backup", () =>
    expectServes({ cache: "local", args: ["--local-cache-path", join(folder, "cache")] }));

  test.skipIf(isMissing("redis-server"))("serves with Redis", async () => {
    await using redis = await RedisServer.start();
    await expectServes({ cache: "redis", env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` } });
    expect(await redis.cli("DBSIZE")).not.toBe("0");
  });

  test("sends metrics to a Unix datagram socket", async () => {
    using agent = new UnixDatagramListener(join(folder, "agent.sock"));
    const env = { STATSD_SOCKET: agent.path, DATADOG_MAX_BATCH_TIME_MS: "600000" };
    await using relay = await startRelayProcess({ mode: "http", args: ["--datadog-logging"], env });
    expect((await rawGet(`${relay.httpUrl}/v1/health`)).status).toBe(200);
    expect(await relay.stop()).toBe(0);
    agent.read();
    expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(1);
  });

  test("sends metrics and traces over OTLP and gRPC", async () => {
    await using upstream = await startKnownUpstream("secret-binary");
    await using receiver = await startOtlpReceiver("grpc");
    await using relay = await startOtlpRelay({ upstream, endpoint: receiver.url, protocol: "grpc" });
    await ask(relay, "secret-binary");
    await eventually(() => expect(receiver.points.length).toBeGreaterThan(0));
    await eventually(() => expect(receiver.spans.map(({ name }) => name)).toContain("cache miss"));
  });

  test("ignores a .env file in its working directory", async () => {
    writeFileSync(join(folder, ".env"), "SFP_HTTP_PORT=nonsense\n");
    const { exitCode, stdout } = Bun.spawnSync([binary, "--version"], { cwd: folder });
    expect([exitCode, stdout.toString()]).toEqual([0, expect.stringMatching(/^statsig-forward-proxy \d/)]);
    const run = Bun.spawnSync([binary, "http", "disabled", "--http-port", "0", "--management-port", "0"], {
      cwd: folder,
      timeout: 1_500,
    });
    expect(run.stderr.toString()).toBe("");
  });
});
