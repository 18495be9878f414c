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

/** Longer than any test: what is sent then is sent at the end. */
const AT_THE_END = { DATADOG_MAX_BATCH_TIME_MS: "600000" };
const OFTEN = { DATADOG_MAX_BATCH_TIME_MS: "100" };

async function startSending(options: Pick<RelayOptions, "args" | "env">) {
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
  test("sends what it measured, the last values when it is stopped", async () => {
    using agent = await UdpListener.start();
    const env = { ...AT_THE_END, STATSD_PORT_OVERRIDE: String(agent.port) };
    await using sending = await startSending({ args: ["--statsd-logging"], env });
    await sending.ask(7);
    expect(agent.datagrams).toEqual([]);
    expect(await sending.relay.stop()).toBe(0);
    await eventually(() => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(7));
    const latencies = readLines(agent.datagrams).filter(({ name }) => name.endsWith("Success.latency"));
    expect(latencies.map(({ type }) => type)).toEqual(Array.from({ length: 7 }, () => "ms"));
    expect(latencies[0]?.tags).toEqual(
      expect.arrayContaining([
        "pod_name:localhost",
        expect.stringMatching(/^sdk_key:secret-\S*\*\S*$/),
        "path:/v2/download_config_specs",
        "status_code:200",
      ]),
    );
    expect(sumOf(agent.datagrams, "HttpDataProviderGotData.count")).toBe(1);
    expect(readLines(agent.datagrams).map(({ name }) => name)).toContain(
      "statsig.forward_proxy.SdkKeysHeld.gauge",
    );
  });

  test("tags with what Datadog knows the process by, once, and sends no lines but its own", async () => {
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
    await using sending = await startSending({ args: ["--datadog-logging"], env });
    await sending.ask(1);
    await sending.relay.stop();
    await eventually(() => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(1));
    const lines = readLines(agent.datagrams);
    for (const { name } of lines) expect(name).toStartWith("statsig.forward_proxy.");
    const count = lines.find(({ name }) => name.endsWith("HttpServerRequestSuccess.count"));
    expect(count?.tags.slice(0, 4)).toEqual(["version:4.2", "env:prod", "service:relay", "pod_name:pod-7"]);
    expect(count?.tags).toHaveLength(new Set(count?.tags).size);
    expect(count?.tags).not.toContain("team:none-of-ours");
  });

  test("sends nothing twice with both, and latencies as distributions", async () => {
    using agent = await UdpListener.start();
    const env = { ...AT_THE_END, STATSD_PORT_OVERRIDE: String(agent.port) };
    await using sending = await startSending({ args: ["--statsd-logging", "--datadog-logging"], env });
    await sending.ask(3);
    await sending.relay.stop();
    await eventually(() => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(3));
    const types = readLines(agent.datagrams).map(({ type }) => type);
    expect(new Set(types)).toEqual(new Set(["c", "g", "d"]));
  });

  test("says once that the agent is not there and once that it is back; requests know nothing of it", async () => {
    using socket = temporarySocket();
    // The socket goes before the address.
    const env = { ...OFTEN, STATSD_SOCKET: socket.path, STATSD_HOST_OVERRIDE: "agent.invalid" };
    await using sending = await startSending({ args: ["--datadog-logging"], env });
    const { relay, ask } = sending;
    await eventually(() => expect(linesWith(relay, "metric export failing")).toHaveLength(1));
    expect(
      linesWith(relay, `sink=datadog detail="${socket.path}: there is no such socket (ENOENT)"`),
    ).toHaveLength(1);
    await ask(5);
    await Bun.sleep(500);
    {
      using agent = new UnixDatagramListener(socket.path);
      await eventually(() => expect(linesWith(relay, "metric export recovered")).toHaveLength(1));
      await ask(5);
      await eventually(() => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(5));
    }
    await eventually(() => expect(linesWith(relay, "metric export failing")).toHaveLength(2));
    using next = new UnixDatagramListener(socket.path);
    await eventually(() => expect(next.datagrams.length).toBeGreaterThan(2));
    expect(linesWith(relay, "metric export failing")).toHaveLength(2);
    await eventually(() => expect(linesWith(relay, "metric export recovered")).toHaveLength(2));
    expect(await relay.stop()).toBe(0);
  });

  test("an agent that was replaced within an interval gets the next values, and nothing is said", async () => {
    using socket = temporarySocket();
    const env = { DATADOG_MAX_BATCH_TIME_MS: "500", STATSD_SOCKET: socket.path };
    using first = new UnixDatagramListener(socket.path);
    await using sending = await startSending({ args: ["--statsd-logging"], env });
    await eventually(() => expect(first.datagrams.length).toBeGreaterThan(0), { everyMs: 5 });
    first[Symbol.dispose]();
    using second = new UnixDatagramListener(socket.path);
    await eventually(() => expect(second.datagrams.length).toBeGreaterThan(0));
    expect(linesWith(sending.relay, "metrics")).toEqual([]);
  });

  test("an agent that reads nothing costs requests nothing; what it does not take is dropped and counted", async () => {
    using socket = temporarySocket();
    using agent = new UnixDatagramListener(socket.path, { reads: false });
    const port = String(await freePort());
    const env = { ...OFTEN, STATSD_SOCKET: socket.path, DOGSTATSD_MAX_BUFFER_SIZE: "512" };
    const args = ["--statsd-logging", "--management-port", port];
    await using sending = await startSending({ args, env });
    const { relay, ask } = sending;
    // As many as the system keeps for a reader: 10 datagrams here, hundreds there.
    const isTold = () => expect(linesWith(relay, "its reader is too slow (EAGAIN)")).toHaveLength(1);
    await eventually(isTold, { withinMs: 20_000 });
    const startedAt = performance.now();
    await ask(50);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    const metrics = (await rawGet(`${relay.urlOf("management")}/metrics`)).body.toString();
    expect(metrics).toMatch(/MeasurementsDropped_count_total\{sink="statsd"\} [1-9]/);
    expect(metrics).toContain('SinkUp_gauge{sink="statsd"} 0');
    expect(agent.datagrams).toEqual([]);
    expect(await relay.stop()).toBe(0);
  });

  test("keeps no more measurements than it may", async () => {
    using agent = await UdpListener.start();
    const env = { ...AT_THE_END, STATSD_PORT_OVERRIDE: String(agent.port), DATADOG_SENDER_BUFFER_SIZE: "2" };
    await using sending = await startSending({ args: ["--statsd-logging"], env });
    await sending.ask(1);
    await sending.relay.stop();
    await eventually(() => expect(readLines(agent.datagrams)).toHaveLength(2));
  });
});
