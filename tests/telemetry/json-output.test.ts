import { describe, expect, test } from "bun:test";
import { appendFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { preloadEnv } from "../support/common/preload.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisSentinels } from "../support/redis/redis-sentinels.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { Authority } from "../support/relay/pki.ts";
import {
  type RelayOptions,
  type RelayProcess,
  runRelay,
  startRelayProcess,
} from "../support/relay/relay-process.ts";
import { tlsArgs } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { body, startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const JSON_LOG = ["--log-format", "json"];
const KEY = "secret-of-the-json-lines";
const PRINTING = new URL("../support/telemetry/printing-preload.ts", import.meta.url).href;
const FAULTS = new URL("../support/common/fault-injection.ts", import.meta.url).href;

interface Line {
  readonly level: string;
  readonly message: string;
  readonly detail?: string;
  readonly reason?: string;
}

/** Returns all that a relay has printed. Throws if one of the lines is no JSON object with a time, a level and a message. */
function linesOf(text: string): readonly Line[] {
  const lines = text.split("\n");
  expect(lines.pop()).toBe("");
  return lines.map((line) => {
    const parsed = JSON.parse(line);
    expect(parsed).toEqual(
      expect.objectContaining({
        time: expect.any(String),
        level: expect.any(String),
        message: expect.any(String),
      }),
    );
    return parsed as Line;
  });
}

async function untilLogged(relay: RelayProcess, ...messages: readonly string[]): Promise<void> {
  for (const message of messages) {
    await eventually(() => expect(relay.output()).toContain(`"message":"${message}"`), { withinMs: 20_000 });
  }
}

const ask = (relay: RelayProcess) => fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json`);

const startRelay = (upstream: Upstream, { args = [], ...options }: RelayOptions = {}) =>
  startRelayProcess({ upstream, ...options, args: [...JSON_LOG, ...args, "--preload-sdk-keys", KEY] });

async function startPublishing(): Promise<Upstream> {
  const upstream = await startUpstream();
  publishKey(upstream, KEY);
  return upstream;
}

describe("with --log-format json, every line of stdout and stderr is JSON", () => {
  test("while upstream sends garbage, and the OTLP collector resets connections", async () => {
    await using upstream = await startPublishing();
    using collector = Bun.listen({
      port: 0,
      hostname: "127.0.0.1",
      socket: { data: (socket) => void socket.terminate() },
    });
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
      OTEL_METRIC_EXPORT_INTERVAL: "100",
      OTEL_EXPORTER_OTLP_TIMEOUT: "100",
      OTEL_BSP_SCHEDULE_DELAY: "100",
    };
    for (const protocol of ["http/protobuf", "grpc"]) {
      await using relay = await startRelay(upstream, {
        args: ["--otlp-logging", "--otlp-tracing"],
        env: { ...env, OTEL_EXPORTER_OTLP_PROTOCOL: protocol },
      });
      await untilLogged(relay, "metric export failing");
      upstream.misbehave(body("\u0000\u0001 garbage"));
      await untilLogged(relay, "upstream failing, serving last known config");
      upstream.behave();
      await untilLogged(relay, "upstream recovered");
      await relay.stop();
      linesOf(relay.output());
    }
  }, 60_000);

  test("while Worker threads die", async () => {
    await using upstream = await startPublishing();
    const deaths = [
      ["throw", "prepare-worker", "unexpected error, relay continues"],
      ["terminate", "prepare-worker", "unexpected error, relay continues"],
      ["terminate", "serving-worker", "serving thread replaced"],
    ] as const;
    for (const [how, script, message] of deaths) {
      // SIGUSR1 also opens the debugger of Deno, which prints its address.
      const faults = [{ kind: "worker", script, how, afterMs: "SIGUSR2" }];
      await using relay = await startRelay(upstream, {
        env: { ...preloadEnv(FAULTS), TEST_FAULTS: JSON.stringify(faults) },
      });
      await ask(relay);
      relay.signal("SIGUSR2");
      await untilLogged(relay, message);
      await relay.stop();
      linesOf(relay.output());
    }
  }, 60_000);

  test("while libraries print, on the main thread and in Worker threads", async () => {
    await using upstream = await startPublishing();
    await using relay = await startRelay(upstream, { env: preloadEnv(PRINTING) });
    await ask(relay);
    relay.signal("SIGUSR2");
    for (const thread of ["the main thread", "a Worker"])
      await eventually(() => expect(relay.output()).toContain(`a warning in ${thread}`), {
        withinMs: 20_000,
      });
    await relay.stop();
    const printed = linesOf(relay.output()).filter(
      ({ message }) => message === "unexpected output of a library",
    );
    expect(printed.map(({ detail }) => detail)).toContain("two lines");
    for (const thread of ["a Worker", "the main thread"])
      expect(JSON.stringify(printed)).toContain(`printed by a library in ${thread}`);
    expect(JSON.stringify(printed)).not.toContain("hidden-word");
  }, 30_000);

  test("if NODE_EXTRA_CA_CERTS is unusable, about which the runtime prints a line of its own", async () => {
    await using upstream = await startPublishing();
    const env = {
      NODE_EXTRA_CA_CERTS: "/nowhere/ca.pem",
      HTTPS_PROXY: "",
      LOG_EVENT_STATSIG_ENDPOINT: "https://127.0.0.1:1",
    };
    await using relay = await startRelay(upstream, {
      args: ["--log-event-flush-interval-in-ms", "50", "--shutdown-grace-in-s", "1"],
      env,
    });
    const event = { events: [{ eventName: "a" }] };
    await fetch(`${relay.httpUrl}/v1/log_event`, {
      method: "POST",
      headers: { "statsig-api-key": KEY },
      body: JSON.stringify(event),
    });
    await untilLogged(relay, "log events not forwarded, retrying");
    await relay.stop();
    const unusable = linesOf(relay.output()).find(({ message }) => message.startsWith("NODE_EXTRA_CA_CERTS"));
    expect(unusable).toMatchObject({ level: "warn", reason: "no such file or directory" });
  }, 30_000);
});

describeWith("openssl")("with --log-format json and TLS, every line is JSON", () => {
  test("while garbage arrives, and a certificate is broken", async () => {
    await using upstream = await startPublishing();
    using pki = new Authority();
    const server = pki.issue();
    await using relay = await startRelay(upstream, { args: tlsArgs(server) });
    for (const protocol of ["https", "grpcs", "http", "grpc"]) {
      for (const garbage of [
        "\u0016\u0003\u0001\u0002\u0000\u0001",
        "GET / HTTP/1.1\r\n\r\n",
        "\u0000\u0001\u0002\r\n\r\n",
      ]) {
        const socket = connect(Number(new URL(relay.urlOf(protocol)).port), "127.0.0.1");
        socket.on("error", () => {});
        socket.end(garbage);
      }
    }
    await untilLogged(relay, "TLS handshake failed");
    appendFileSync(server.certPath, "-----BEGIN CERTIFICATE-----\nbroken\n");
    writeFileSync(join(pki.folder, "unrelated"), "");
    relay.signal("SIGHUP");
    await untilLogged(relay, "invalid certificate files, keeping the current certificate");
    await relay.stop();
    linesOf(relay.output());
  }, 30_000);
});

describeWith("redis-server", "redis-cli")("with --log-format json and Redis, every line is JSON", () => {
  const DOWN = "Redis unavailable, serving from memory";
  const UP = "Redis available again";

  test("while Redis is killed and comes back, also if it asks for no password but gets one", async () => {
    await using upstream = await startPublishing();
    await using redis = await RedisServer.start();
    const env = { REDIS_URL: `redis://:needless@127.0.0.1:${redis.port}` };
    await using relay = await startRelay(upstream, { cache: "redis", args: ["--fleet-polling"], env });
    await untilLogged(relay, "unexpected output of a library");
    await redis.kill();
    await untilLogged(relay, DOWN);
    await redis.restart();
    await untilLogged(relay, UP);
    await relay.stop();
    const lines = linesOf(relay.output());
    expect(lines.filter(({ message }) => message === "unexpected output of a library")).toHaveLength(1);
  }, 60_000);

  test("while Sentinels and their master die", async () => {
    await using upstream = await startPublishing();
    await using sentinels = await RedisSentinels.start();
    const env = {
      REDIS_SENTINELS: sentinels.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(","),
      REDIS_SENTINEL_MASTER: "mymaster",
    };
    await using relay = await startRelay(upstream, { cache: "redis", args: ["--fleet-polling"], env });
    await ask(relay);
    for (const each of sentinels.sentinels) await each.kill();
    await sentinels.master.kill();
    await untilLogged(relay, DOWN);
    await Promise.all([sentinels.master, ...sentinels.sentinels].map((each) => each.restart()));
    await untilLogged(relay, UP);
    await relay.stop();
    linesOf(relay.output());
  }, 60_000);

  test("while the nodes of a Cluster die", async () => {
    await using upstream = await startPublishing();
    await using cluster = await RedisCluster.start();
    const env = { REDIS_CLUSTER_NODES: cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",") };
    await using relay = await startRelay(upstream, { cache: "redis", args: ["--fleet-polling"], env });
    await ask(relay);
    for (const node of cluster.nodes) await node.kill();
    await untilLogged(relay, DOWN);
    await relay.stop();
    linesOf(relay.output());
  }, 60_000);
});

describe("a start that fails prints one line", () => {
  const JSON_LINE = (reason: RegExp, exitCode: number) => ({
    time: expect.any(String),
    level: "error",
    message: "relay not started",
    reason: expect.stringMatching(reason),
    exit_code: exitCode,
  });

  test.each<readonly [string, readonly string[], Readonly<Record<string, string>>, RegExp]>([
    [
      "an option",
      ["http", "disabled", ...JSON_LOG, "--http-port", "x"],
      {},
      /invalid value "x" for --http-port/,
    ],
    ["an argument that does not exist", ["http", "disabled", "--log-format=json", "--nope"], {}, /--nope/],
    ["a variable", ["http", "disabled"], { SFP_LOG_FORMAT: "json", SFP_HTTP_PORT: "x" }, /SFP_HTTP_PORT/],
    ["a variable and the command line", ["http", "nothing"], { SFP_LOG_FORMAT: "json" }, /nothing/],
  ])("in JSON if the log would be JSON: %s", async (_, args, env, reason) => {
    const { exitCode, stdout, stderr } = await runRelay(args, env);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(linesOf(stderr)).toEqual([JSON_LINE(reason, 2)]);
  });

  test("in JSON if the port is in use, with exit code 1", async () => {
    await using upstream = await startPublishing();
    const args = ["http", "disabled", ...JSON_LOG, "--bind-address", "127.0.0.1"];
    const { exitCode, stderr } = await runRelay([...args, "--http-port", new URL(upstream.url).port]);
    expect(exitCode).toBe(1);
    expect(linesOf(stderr)).toEqual([JSON_LINE(/the port is in use$/, 1)]);
  });

  test("in JSON if the configuration file says so", async () => {
    const file = join("/tmp", `sfp-json-${process.pid}-${await freePort()}.yaml`);
    writeFileSync(file, "log-format: json\nhttp-port: x\n");
    const { exitCode, stderr } = await runRelay(["http", "disabled", "--config", file]);
    expect(exitCode).toBe(2);
    expect(linesOf(stderr)).toEqual([JSON_LINE(/http-port/, 2)]);
  });

  test("as text otherwise, and for other commands", async () => {
    const text = await runRelay(["http", "disabled", "--http-port", "x"]);
    expect(text.stderr).toStartWith("error: invalid value");
    const env = { SFP_LOG_FORMAT: "json" };
    const other = await runRelay(["completions", "nothing"], env);
    expect([other.exitCode, other.stderr]).toEqual([2, expect.stringMatching(/^error: completions: /)]);
  });
});
