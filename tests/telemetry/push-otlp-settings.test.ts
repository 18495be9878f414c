import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { eventually } from "../support/common/wait.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { PROTOCOLS, startOtlpReceiver, startOtlpRelay } from "../support/telemetry/otlp-relay.ts";

const REFUSED: readonly (readonly [option: string, env: Readonly<Record<string, string>>, words: string])[] =
  [
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_PROTOCOL: "thrift" },
      'OTEL_EXPORTER_OTLP_PROTOCOL is "thrift", allowed is http/protobuf, http/json, grpc',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      'OTEL_EXPORTER_OTLP_METRICS_PROTOCOL is "http", allowed is http/protobuf, http/json, grpc',
    ],
    [
      "--otlp-tracing",
      { OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "zipkin" },
      'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is "zipkin", allowed is http/protobuf, http/json, grpc',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" },
      'OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318", allowed is an http:// or https:// URL',
    ],
    [
      "--otlp-logging",
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: "someone:pass-word@collector:4317",
        OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      },
      'OTEL_EXPORTER_OTLP_ENDPOINT is "…", allowed is an http:// or https:// URL',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_HEADERS: "authorization: Bearer pass-word" },
      "OTEL_EXPORTER_OTLP_HEADERS is malformed (not shown here), allowed is a comma list of key=value",
    ],
    [
      "--otlp-tracing",
      { OTEL_EXPORTER_OTLP_TRACES_HEADERS: "a=b,pass-word" },
      "OTEL_EXPORTER_OTLP_TRACES_HEADERS is malformed (not shown here), allowed is a comma list of key=value",
    ],
    [
      "--otlp-tracing",
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "/v1/traces" },
      'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "/v1/traces", allowed is an http:// or https:// URL',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_TIMEOUT: "10s" },
      'OTEL_EXPORTER_OTLP_TIMEOUT is "10s", allowed is milliseconds, more than 0',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" },
      'OTEL_EXPORTER_OTLP_COMPRESSION is "zstd", allowed is gzip or none',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "deltas" },
      'OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is "deltas", allowed is cumulative, delta or lowmemory',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_CERTIFICATE: "/nowhere/ca.pem" },
      'Cannot read OTEL_EXPORTER_OTLP_CERTIFICATE "/nowhere/ca.pem": no such file or directory',
    ],
    [
      "--otlp-logging",
      { OTEL_RESOURCE_ATTRIBUTES: "env" },
      'OTEL_RESOURCE_ATTRIBUTES is "env", allowed is a comma list of key=value',
    ],
    [
      "--otlp-logging",
      { OTEL_METRIC_EXPORT_INTERVAL: "1m" },
      'OTEL_METRIC_EXPORT_INTERVAL is "1m", allowed is a whole number from 1 to 1000000000',
    ],
    [
      "--otlp-logging",
      { OTEL_METRIC_EXPORT_INTERVAL: "1000", OTEL_METRIC_EXPORT_TIMEOUT: "2000" },
      'OTEL_METRIC_EXPORT_TIMEOUT is "2000", allowed is at most OTEL_METRIC_EXPORT_INTERVAL, which is 1000',
    ],
    [
      "--otlp-tracing",
      { OTEL_TRACES_SAMPLER: "jaeger_remote" },
      'OTEL_TRACES_SAMPLER is "jaeger_remote", allowed is parentbased_always_on, parentbased_always_off, parentbased_traceidratio, always_on, always_off, traceidratio',
    ],
    [
      "--otlp-tracing",
      { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "1.5" },
      'OTEL_TRACES_SAMPLER_ARG is "1.5", allowed is a number from 0 to 1',
    ],
    [
      "--otlp-tracing",
      { OTEL_BSP_MAX_QUEUE_SIZE: "10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "20" },
      'OTEL_BSP_MAX_EXPORT_BATCH_SIZE is "20", allowed is at most OTEL_BSP_MAX_QUEUE_SIZE, which is 10',
    ],
  ];

describe("a wrong setting of OTLP ends the start with 2 and one line", () => {
  for (const [option, env, words] of REFUSED) {
    test(words, async () => {
      const run = await runRelay([option, "--http-port", "0", "--grpc-port", "0", "http", "disabled"], env);
      expect([run.exitCode, run.stderr]).toEqual([2, `error: ${words}\n`]);
    });
  }

  test("and none where nothing is sent by OTLP", async () => {
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startOtlpRelay({
      endpoint: receiver.url,
      args: [],
      env: { OTEL_EXPORTER_OTLP_PROTOCOL: "thrift" },
    });
    expect(relay.output()).toContain("serving");
  });
});

for (const protocol of PROTOCOLS) {
  test(`by ${protocol} to a collector that wants clients' certificates`, async () => {
    using authority = new Authority();
    const ca = readFileSync(authority.caPath, "utf8");
    const tls = { ca, ...pemOf(authority.issue()), clientsToo: true };
    await using receiver = await startOtlpReceiver(protocol, tls);
    const own = authority.issue({ commonName: "relay" });
    // By its name: over gRPC a collector can't be asked for by its address, since Bun lets no address be a TLS name.
    const started = { protocol, endpoint: receiver.url.replace("127.0.0.1", "localhost") };
    const trusted = { OTEL_EXPORTER_OTLP_CERTIFICATE: authority.caPath };
    await using stranger = await startOtlpRelay(started);
    await using nameless = await startOtlpRelay({ ...started, env: trusted });
    for (const refused of [stranger, nameless]) {
      await eventually(() => expect(refused.output()).toMatch(/metric export failing.*sink=otlp /));
    }
    expect(receiver.received).toHaveLength(0);
    await using known = await startOtlpRelay({
      ...started,
      env: {
        ...trusted,
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: own.certPath,
        OTEL_EXPORTER_OTLP_CLIENT_KEY: own.keyPath,
      },
    });
    await eventually(() => expect(receiver.points.length).toBeGreaterThan(0));
    await known.stop();
  });
}

test("over gRPC an endpoint may be a host and a port", async () => {
  await using receiver = await startOtlpReceiver("grpc");
  await using _relay = await startOtlpRelay({
    protocol: "grpc",
    endpoint: `127.0.0.1:${receiver.port}`,
    env: { OTEL_EXPORTER_OTLP_INSECURE: "true" },
  });
  await eventually(() => expect(receiver.points.length).toBeGreaterThan(0));
});

test("metrics and traces may go to different places, by different protocols", async () => {
  await using forMetrics = await startOtlpReceiver("grpc");
  await using forTraces = await startOtlpReceiver("http/json");
  await using relay = await startOtlpRelay({
    endpoint: "http://127.0.0.1:9",
    protocol: "http/protobuf",
    args: ["--otlp-logging", "--otlp-tracing", "--preload-sdk-keys", "secret-anywhere"],
    env: {
      OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "grpc",
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: forMetrics.url,
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${forTraces.url}/any/path`,
      STATSIG_ENDPOINT: "http://127.0.0.1:9",
    },
  });
  await eventually(() => expect(forMetrics.points.length).toBeGreaterThan(0));
  await eventually(() => expect(forTraces.spans.length).toBeGreaterThan(0));
  expect(forTraces.received[0]?.path).toBe("/any/path");
  await relay.stop();
  expect(forMetrics.spans.length + forTraces.points.length).toBe(0);
});
