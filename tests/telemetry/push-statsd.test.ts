import { describe, expect, test } from "bun:test";
import { lookup } from "node:dns/promises";
import type { Measurement } from "../../src/telemetry/push/measurement.ts";
import { failureOf } from "../support/common/failure.ts";
import { eventually } from "../support/common/wait.ts";
import { readLines } from "../support/telemetry/statsd-lines.ts";
import { counts, loopback, statsdSink } from "../support/telemetry/statsd-sinks.ts";
import { UdpListener, unusedUdpPort } from "../support/telemetry/udp-listener.ts";

const never = new AbortController().signal;
const name = "statsig.forward_proxy.Something";
const tags = { sdk_key: "secret-a*", path: "/v1/download_config_specs", "accept-encoding": "[Gzip, Brotli]" };
const oneOfEach: readonly Measurement[] = [
  { kind: "count", name: `${name}.count`, tags, value: 1_234 },
  { kind: "gauge", name: `${name}.gauge`, tags: {}, value: 0.5 },
  {
    kind: "latency",
    name: `${name}.latency`,
    tags: { ...tags, path: "" },
    values: [12.34567, 1e-7],
    seen: 2,
  },
];

async function linesSentBy(sink: "statsd" | "datadog", measurements: readonly Measurement[]) {
  using listener = await UdpListener.start();
  await using statsd = statsdSink({ sink, place: loopback(listener.port) });
  await statsd.send(measurements, never);
  await eventually(() => expect(listener.datagrams.length).toBeGreaterThan(0));
  return listener.datagrams.join("\n").split("\n");
}

describe("the StatsD sink", () => {
  test("sends one line per value, with the tags of the relay and of the series", async () => {
    expect(await linesSentBy("statsd", oneOfEach)).toEqual([
      `${name}.count:1234|c|#sdk_key:secret-a*,path:/v1/download_config_specs,accept-encoding:[Gzip, Brotli],pod_name:here`,
      `${name}.gauge:0.5|g|#pod_name:here`,
      `${name}.latency:12.3457|ms|#sdk_key:secret-a*,path:,accept-encoding:[Gzip, Brotli],pod_name:here`,
      `${name}.latency:0|ms|#sdk_key:secret-a*,path:,accept-encoding:[Gzip, Brotli],pod_name:here`,
    ]);
  });

  test("sends latencies to Datadog as distributions", async () => {
    const types = (await linesSentBy("datadog", oneOfEach)).map((line) => line.split("|")[1]);
    expect(types).toEqual(["c", "g", "d", "d"]);
  });

  test.each(["statsd", "datadog"] as const)(
    "adds the sampling rate to each sampled latency (%s)",
    async (sink) => {
      const values = Array.from({ length: 100 }, (_, i) => i);
      const lines = readLines(
        await linesSentBy(sink, [
          { kind: "latency", name: `${name}.latency`, tags: {}, values, seen: 1_600 },
        ]),
      );
      expect(lines.map(({ value }) => value)).toEqual(values);
      expect(lines.reduce((seen, { rate }) => seen + 1 / rate, 0)).toBeCloseTo(1_600);
    },
  );

  test("fills datagrams up to the maximum size and sends each line once", async () => {
    using listener = await UdpListener.start();
    await using sink = statsdSink({
      place: loopback(listener.port),
      maxDatagramBytes: 700,
      maxLinesAtOnce: 64,
    });
    await sink.send(counts(5_000), never);
    await eventually(() => expect(readLines(listener.datagrams)).toHaveLength(5_000));
    expect(readLines(listener.datagrams).map(({ value }) => value)).toEqual(
      Array.from({ length: 5_000 }, (_, i) => i),
    );
    const sizes = listener.datagrams.map((datagram) => Buffer.byteLength(datagram));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(700);
    expect(Math.max(...sizes)).toBeGreaterThan(600);
  });

  test("sends to IPv6", async () => {
    using listener = await UdpListener.start(0, "::1");
    await using sink = statsdSink({ place: { kind: "udp", host: "::1", port: listener.port } });
    await sink.send(counts(1), never);
    await eventually(() => expect(listener.datagrams).toHaveLength(1));
  });

  test("resolves the host name of the agent", async () => {
    const { address } = await lookup("localhost");
    using listener = await UdpListener.start(0, address);
    await using sink = statsdSink({ place: { kind: "udp", host: "localhost", port: listener.port } });
    await sink.send(counts(1), never);
    await eventually(() => expect(listener.datagrams).toHaveLength(1));
  });

  test("lets the event loop run while it sends many lines", async () => {
    using listener = await UdpListener.start();
    await using sink = statsdSink({ place: loopback(listener.port) });
    let turns = 0;
    const turning = setInterval(() => turns++, 0);
    await sink.send(counts(30_000), never);
    clearInterval(turning);
    expect(turns).toBeGreaterThan(20);
  });
});

describe("the StatsD sink without an agent on UDP", () => {
  test("rejects each batch after its retries, and sends the next one when the agent is back", async () => {
    const port = await unusedUdpPort();
    await using sink = statsdSink({ place: loopback(port), retryDelayMs: 1 });
    for (let batch = 0; batch < 3; batch++) {
      const sent = sink.send(counts(batch === 1 ? 500 : 1), never);
      expect(String(await failureOf(sent))).toContain(
        `UDP 127.0.0.1:${port}: nothing is listening there (ECONNREFUSED)`,
      );
    }
    using listener = await UdpListener.start(port);
    await sink.send(counts(1), never);
    await eventually(() => expect(readLines(listener.datagrams)).toHaveLength(1));
  });

  test("retries with a delay that doubles, until the agent is there", async () => {
    const port = await unusedUdpPort();
    // The last retry is after 1,260 ms. It would be after 120 ms if the delay did not double.
    await using sink = statsdSink({ place: loopback(port), maxRetries: 6, retryDelayMs: 20 });
    const sent = sink.send(counts(1), never);
    await Bun.sleep(150);
    using listener = await UdpListener.start(port);
    await sent;
    await eventually(() => expect(listener.datagrams).toHaveLength(1));
  });

  test("rejects with the host name if it has no address", async () => {
    await using sink = statsdSink({
      place: { kind: "udp", host: "agent.invalid", port: 8125 },
      maxRetries: 0,
    });
    await expect(sink.send(counts(1), never)).rejects.toThrow(
      /^UDP agent\.invalid:8125: host name (not found|lookup failed)/,
    );
  });

  test("ends its retries when the signal is aborted", async () => {
    await using sink = statsdSink({ place: loopback(await unusedUdpPort()), retryDelayMs: 60_000 });
    const sent = sink.send(counts(1), AbortSignal.timeout(50));
    expect(String(await failureOf(sent))).toContain("ECONNREFUSED");
  });

  test("rejects a batch if the agent dies between two datagrams", async () => {
    const listener = await UdpListener.start();
    await using sink = statsdSink({ place: loopback(listener.port), maxRetries: 0, maxLinesAtOnce: 100 });
    const sent = sink.send(counts(50_000), never);
    await eventually(() => expect(listener.datagrams.length).toBeGreaterThan(0), { everyMs: 1 });
    listener[Symbol.dispose]();
    expect(String(await failureOf(sent))).toContain("nothing is listening there (ECONNREFUSED)");
  });
});
