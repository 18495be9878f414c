import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { readLines, sumOf } from "../support/telemetry/statsd-lines.ts";
import { UdpListener } from "../support/telemetry/udp-listener.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** An interval longer than any test: values are sent when the relay stops. */
const AT_THE_END = { DATADOG_MAX_BATCH_TIME_MS: "600000" };
const OFTEN = { DATADOG_MAX_BATCH_TIME_MS: "100" };

const PATIENCE = { withinMs: 15_000 };

async function startMeasuredRelay(options: Pick<RelayOptions, "args" | "env">) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const { sdkKey } = publishKey(upstream, "secret-measured");
  const relay = stack.use(await startRelayProcess({ upstream, mode: "http", ...options }));
  const owned = stack.move();
  const ask = async (times: number) => {
    const url = `${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`;
    for (let i = 0; i < times; i++) expect((await rawGet(url)).status).toBe(200);
  };
  return { relay, ask, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function temporarySocket() {
  const folder = mkdtempSync(join(tmpdir(), "sfp-statsd-"));
  return {
    path: join(folder, "agent.sock"),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const linesWith = (relay: RelayProcess, text: string) =>
  relay
    .output()
    .split("\n")
    .filter((line) => line.includes(text));

describe("a relay with --statsd-logging or --datadog-logging", () => {
  test("sends counts, latencies and gauges, the last ones when it stops", async () => {
    using agent = await UdpListener.start();
    const env = { ...AT_THE_END, STATSD_PORT_OVERRIDE: String(agent.port) };
    await using measured = await startMeasuredRelay({ args: ["--statsd-logging"], env });
    await measured.ask(7);
    expect(agent.datagrams).toEqual([]);
    expect(await measured.relay.stop()).toBe(0);
    await eventually(
      () => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(7),
      PATIENCE,
    );
    const latencies = readLines(agent.datagrams).filter(({ name }) => name.endsWith("Success.latency"));
    expect(latencies.map(({ type }) => type)).toEqual(Array.from({ length: 7 }, () => "ms"));
    expect(latencies[0]?.tags).toEqual(
      expect.arrayContaining([
        "pod_name:localhost",
        expect.stringMatching(/^sdk_key:secret-\S*\*\S*$/),
        "path:/v2/download_config_specs/",
        "status_code:200",
      ]),
    );
    expect(sumOf(agent.datagrams, "HttpDataProviderGotData.count")).toBe(1);
    expect(readLines(agent.datagrams).map(({ name }) => name)).toContain(
      "statsig.forward_proxy.SdkKeysHeld.gauge",
    );
  });

  test("adds the tags of DD_* and HOSTNAME once, and sends no other lines", async () => {
    using agent = await UdpListener.start();
    const env = {
      ...AT_THE_END,
      STATSD_HOST_OVERRIDE: "localhost",
      STATSD_PORT_OVERRIDE: String(agent.port),
      DD_ENV: "prod",
      DD_SERVICE: "relay",
      DD_VERSION: "4.2",
      DD_TAGS: "team:none-of-ours",
      HOSTNAME: "pod-7",
    };
    await using measured = await startMeasuredRelay({ args: ["--datadog-logging"], env });
    await measured.ask(1);
    await measured.relay.stop();
    await eventually(
      () => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(1),
      PATIENCE,
    );
    const lines = readLines(agent.datagrams);
    for (const { name } of lines) expect(name).toStartWith("statsig.forward_proxy.");
    const count = lines.find(({ name }) => name.endsWith("HttpServerRequestSuccess.count"));
    expect(count?.tags.slice(-4)).toEqual(["version:4.2", "env:prod", "service:relay", "pod_name:pod-7"]);
    expect(count?.tags).toHaveLength(new Set(count?.tags).size);
    expect(count?.tags).not.toContain("team:none-of-ours");
  });

  test("sends everything once with both options, latencies as distributions", async () => {
    using agent = await UdpListener.start();
    const env = { ...AT_THE_END, STATSD_PORT_OVERRIDE: String(agent.port) };
    await using measured = await startMeasuredRelay({ args: ["--statsd-logging", "--datadog-logging"], env });
    await measured.ask(3);
    await measured.relay.stop();
    await eventually(
      () => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(3),
      PATIENCE,
    );
    const types = readLines(agent.datagrams).map(({ type }) => type);
    expect(new Set(types)).toEqual(new Set(["c", "g", "d"]));
  });

  test("logs one line when the agent is missing and one when it is back, and serves requests meanwhile", async () => {
    using socket = temporarySocket();
    // The socket overrides the address.
    const env = { ...OFTEN, STATSD_SOCKET: socket.path, STATSD_HOST_OVERRIDE: "agent.invalid" };
    await using measured = await startMeasuredRelay({ args: ["--datadog-logging"], env });
    const { relay, ask } = measured;
    await eventually(() => expect(linesWith(relay, "metric export failing")).toHaveLength(1), PATIENCE);
    expect(linesWith(relay, `sink=datadog detail="${socket.path}: no such socket (ENOENT)"`)).toHaveLength(1);
    await ask(5);
    await Bun.sleep(500);
    {
      using agent = new UnixDatagramListener(socket.path);
      await eventually(() => expect(linesWith(relay, "metric export recovered")).toHaveLength(1), PATIENCE);
      await ask(5);
      await eventually(
        () => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(5),
        PATIENCE,
      );
    }
    await eventually(() => expect(linesWith(relay, "metric export failing")).toHaveLength(2), PATIENCE);
    using next = new UnixDatagramListener(socket.path);
    await eventually(() => expect(next.datagrams.length).toBeGreaterThan(2), PATIENCE);
    expect(linesWith(relay, "metric export failing")).toHaveLength(2);
    await eventually(() => expect(linesWith(relay, "metric export recovered")).toHaveLength(2), PATIENCE);
    expect(await relay.stop()).toBe(0);
  });

  test("sends the next values to an agent that was replaced within an interval, and logs nothing", async () => {
    using socket = temporarySocket();
    const env = { DATADOG_MAX_BATCH_TIME_MS: "500", STATSD_SOCKET: socket.path };
    using first = new UnixDatagramListener(socket.path);
    await using measured = await startMeasuredRelay({ args: ["--statsd-logging"], env });
    await eventually(() => expect(first.datagrams.length).toBeGreaterThan(0), { ...PATIENCE, everyMs: 5 });
    first[Symbol.dispose]();
    using second = new UnixDatagramListener(socket.path);
    await eventually(() => expect(second.datagrams.length).toBeGreaterThan(0), PATIENCE);
    expect(linesWith(measured.relay, "metric export")).toEqual([]);
  });

  test("drops and counts what an agent does not read, without delaying requests", async () => {
    using socket = temporarySocket();
    using agent = new UnixDatagramListener(socket.path, { reads: false });
    const port = String(await freePort());
    const env = { ...OFTEN, STATSD_SOCKET: socket.path, DOGSTATSD_MAX_BUFFER_SIZE: "512" };
    const args = ["--statsd-logging", "--management-port", port];
    await using measured = await startMeasuredRelay({ args, env });
    const { relay, ask } = measured;
    // The receive queue holds between 10 and some hundred datagrams, depending on the system.
    const isLogged = () => expect(linesWith(relay, "the receiver is too slow (EAGAIN)")).toHaveLength(1);
    await eventually(isLogged, { withinMs: 20_000 });
    const startedAt = performance.now();
    await ask(50);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    const metrics = (await rawGet(`${relay.urlOf("management")}/metrics`)).body.toString();
    expect(metrics).toMatch(/MeasurementsDropped_count_total\{sink="statsd"\} [1-9]/);
    expect(metrics).toContain('SinkUp_gauge{sink="statsd"} 0');
    expect(agent.datagrams).toEqual([]);
    expect(await relay.stop()).toBe(0);
  });

  test("keeps at most DATADOG_SENDER_BUFFER_SIZE measurements", async () => {
    using agent = await UdpListener.start();
    const env = { ...AT_THE_END, STATSD_PORT_OVERRIDE: String(agent.port), DATADOG_SENDER_BUFFER_SIZE: "2" };
    await using measured = await startMeasuredRelay({ args: ["--statsd-logging"], env });
    await measured.ask(1);
    await measured.relay.stop();
    await eventually(() => expect(readLines(agent.datagrams)).toHaveLength(2), PATIENCE);
  });
});
