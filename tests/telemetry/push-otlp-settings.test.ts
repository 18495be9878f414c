import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { PROTOCOLS, startOtlpReceiver, startOtlpRelay } from "../support/telemetry/otlp-relay.ts";

const { describe, test } = testsWith("openssl");

const PATIENCE = { withinMs: 15_000 };

const REFUSED: readonly (readonly [option: string, env: Readonly<Record<string, string>>, words: string])[] =
  [
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_PROTOCOL: "thrift" },
      'invalid value "thrift" for OTEL_EXPORTER_OTLP_PROTOCOL (expected http/protobuf, http/json or grpc)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      'invalid value "http" for OTEL_EXPORTER_OTLP_METRICS_PROTOCOL (expected http/protobuf, http/json or grpc)',
    ],
    [
      "--otlp-tracing",
      { OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "zipkin" },
      'invalid value "zipkin" for OTEL_EXPORTER_OTLP_TRACES_PROTOCOL (expected http/protobuf, http/json or grpc)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" },
      'invalid value "collector:4318" for OTEL_EXPORTER_OTLP_ENDPOINT (expected an http:// or https:// URL)',
    ],
    [
      "--otlp-logging",
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: "someone:pass-word@collector:4317",
        OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      },
      'invalid value "…" for OTEL_EXPORTER_OTLP_ENDPOINT (expected an http:// or https:// URL)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_HEADERS: "authorization: Bearer pass-word" },
      "invalid value for OTEL_EXPORTER_OTLP_HEADERS, not shown because it may be secret (expected a comma-separated list of key=value)",
    ],
    [
      "--otlp-tracing",
      { OTEL_EXPORTER_OTLP_TRACES_HEADERS: "a=b,pass-word" },
      "invalid value for OTEL_EXPORTER_OTLP_TRACES_HEADERS, not shown because it may be secret (expected a comma-separated list of key=value)",
    ],
    [
      "--otlp-tracing",
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "/v1/traces" },
      'invalid value "/v1/traces" for OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (expected an http:// or https:// URL)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_TIMEOUT: "10s" },
      'invalid value "10s" for OTEL_EXPORTER_OTLP_TIMEOUT (expected milliseconds, more than 0)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" },
      'invalid value "zstd" for OTEL_EXPORTER_OTLP_COMPRESSION (expected gzip or none)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "deltas" },
      'invalid value "deltas" for OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE (expected cumulative, delta or lowmemory)',
    ],
    [
      "--otlp-logging",
      { OTEL_EXPORTER_OTLP_CERTIFICATE: "/nowhere/ca.pem" },
      'cannot read OTEL_EXPORTER_OTLP_CERTIFICATE "/nowhere/ca.pem": no such file or directory',
    ],
    [
      "--otlp-logging",
      { OTEL_RESOURCE_ATTRIBUTES: "env" },
      'invalid value "env" for OTEL_RESOURCE_ATTRIBUTES (expected a comma-separated list of key=value)',
    ],
    [
      "--otlp-logging",
      { OTEL_METRIC_EXPORT_INTERVAL: "1m" },
      'invalid value "1m" for OTEL_METRIC_EXPORT_INTERVAL (expected a whole number from 1 to 1000000000)',
    ],
    [
      "--otlp-logging",
      { OTEL_METRIC_EXPORT_INTERVAL: "1000", OTEL_METRIC_EXPORT_TIMEOUT: "2000" },
      'invalid value "2000" for OTEL_METRIC_EXPORT_TIMEOUT (expected at most OTEL_METRIC_EXPORT_INTERVAL, which is 1000)',
    ],
    [
      "--otlp-tracing",
      { OTEL_TRACES_SAMPLER: "jaeger_remote" },
      'invalid value "jaeger_remote" for OTEL_TRACES_SAMPLER (expected parentbased_always_on, parentbased_always_off, parentbased_traceidratio, always_on, always_off or traceidratio)',
    ],
    [
      "--otlp-tracing",
      { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "1.5" },
      'invalid value "1.5" for OTEL_TRACES_SAMPLER_ARG (expected a number from 0 to 1)',
    ],
    [
      "--otlp-tracing",
      { OTEL_BSP_MAX_QUEUE_SIZE: "10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "20" },
      'invalid value "20" for OTEL_BSP_MAX_EXPORT_BATCH_SIZE (expected at most OTEL_BSP_MAX_QUEUE_SIZE, which is 10)',
    ],
  ];

describe("an invalid OTLP setting ends the start with exit code 2 and one line", () => {
  for (const [option, env, words] of REFUSED) {
    test(words, async () => {
      const run = await runRelay([option, "--http-port", "0", "--grpc-port", "0", "http", "disabled"], env);
      expect([run.exitCode, run.stderr]).toEqual([2, `error: ${words}\n`]);
    });
  }

  test("ignores invalid OTLP settings if OTLP is off", async () => {
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
  test(`sends over ${protocol} to a collector that requires client certificates`, async () => {
    using authority = new Authority();
    const ca = readFileSync(authority.caPath, "utf8");
    const tls = { ca, ...pemOf(authority.issue()), clientsToo: true };
    await using receiver = await startOtlpReceiver(protocol, tls);
    const own = authority.issue({ commonName: "relay" });
    // By host name: Bun does not accept an IP address as the TLS server name of a gRPC connection.
    const started = { protocol, endpoint: receiver.url.replace("127.0.0.1", "localhost") };
    const trusted = { OTEL_EXPORTER_OTLP_CERTIFICATE: authority.caPath };
    await using distrusting = await startOtlpRelay(started);
    await using withoutCertificate = await startOtlpRelay({ ...started, env: trusted });
    for (const refused of [distrusting, withoutCertificate]) {
      await eventually(() => expect(refused.output()).toMatch(/metric export failing.*sink=otlp /), PATIENCE);
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
    await eventually(() => expect(receiver.points.length).toBeGreaterThan(0), PATIENCE);
    await known.stop();
  });
}

test("accepts a gRPC endpoint without a scheme", async () => {
  await using receiver = await startOtlpReceiver("grpc");
  await using _relay = await startOtlpRelay({
    protocol: "grpc",
    endpoint: `127.0.0.1:${receiver.port}`,
    env: { OTEL_EXPORTER_OTLP_INSECURE: "true" },
  });
  await eventually(() => expect(receiver.points.length).toBeGreaterThan(0), PATIENCE);
});

test("sends metrics and traces to different endpoints over different protocols", async () => {
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
  await eventually(() => expect(forMetrics.points.length).toBeGreaterThan(0), PATIENCE);
  await eventually(() => expect(forTraces.spans.length).toBeGreaterThan(0), PATIENCE);
  expect(forTraces.received[0]?.path).toBe("/any/path");
  await relay.stop();
  expect(forMetrics.spans.length + forTraces.points.length).toBe(0);
});
