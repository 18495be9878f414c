import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { startOtlpHttp } from "../support/telemetry/otlp-receiver.ts";
import { PROTOCOLS, startOtlpReceiver } from "../support/telemetry/otlp-relay.ts";
import { UdpListener, unusedUdpPort } from "../support/telemetry/udp-listener.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const OTLP = ["--otlp-logging", "--otlp-tracing"];
let upstream: Upstream;
const folder = mkdtempSync(join(tmpdir(), "sfp-doctor-sinks-"));

beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(async () => {
  await upstream[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function sinkLines(args: readonly string[], env: Readonly<Record<string, string>>) {
  const all = ["doctor", "http", "disabled", "--http-port", "0", ...args];
  const urls = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const { stdout, exitCode } = await runRelay(all, { ...urls, ...env });
  expect(exitCode).toBe(0);
  return stdout.split("\n").filter((line) => /^\w+ +sinks /.test(line));
}

test("doctor skips the sinks if none is turned on", async () => {
  expect(await sinkLines([], {})).toEqual([
    expect.stringMatching(/^SKIPPED +sinks +metrics and traces are sent nowhere$/),
  ]);
});

describe("doctor sends an empty export over OTLP", () => {
  test.each([...PROTOCOLS])("by %s, which has no metric and no span", async (protocol) => {
    await using receiver = await startOtlpReceiver(protocol);
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: protocol };
    const lines = await sinkLines(OTLP, env);
    expect(lines).toEqual(
      ["metrics", "traces"].map((signal) =>
        expect.stringMatching(
          new RegExp(`^ok +sinks +OTLP ${signal}: http\\S+ accepts an empty export over ${protocol}$`),
        ),
      ),
    );
    expect(receiver.received.map(({ signal }) => signal).toSorted()).toEqual(["metrics", "traces"]);
    expect([...receiver.points, ...receiver.spans]).toEqual([]);
  });

  test("and reports a collector that does not listen", async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` };
    await expectProblem(
      problemsOf(upstream, ["--otlp-logging"], env),
      "sinks",
      /^OTLP metrics: http:\S+\/v1\/metrics accepts no export over http\/protobuf: connection refused$/,
      /start the collector/,
    );
  });

  test("and finds out that the collector speaks another protocol", async () => {
    await using grpc = await startOtlpReceiver("grpc");
    const http = problemsOf(upstream, ["--otlp-logging"], { OTEL_EXPORTER_OTLP_ENDPOINT: grpc.url });
    await expectProblem(http, "sinks", /; over grpc it does$/, /^set OTEL_EXPORTER_OTLP_PROTOCOL to grpc$/);
    await using receiver = await startOtlpHttp();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" };
    const problems = problemsOf(upstream, ["--otlp-tracing"], env);
    await expectProblem(problems, "sinks", /; over http\/protobuf it does$/, /PROTOCOL to http\/protobuf$/);
  });

  test("and reports a certificate that is not trusted, and accepts it with its authority", async () => {
    using pki = new Authority();
    const tls = { ...pemOf(pki.issue()), ca: pemOf({ certPath: pki.caPath, keyPath: pki.caPath }).cert };
    await using receiver = await startOtlpHttp({ tls });
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url };
    const problems = problemsOf(upstream, ["--otlp-logging"], env);
    await expectProblem(problems, "sinks", /certificate is not trusted$/, /OTEL_EXPORTER_OTLP_CERTIFICATE/);
    const lines = await sinkLines(OTLP, { ...env, OTEL_EXPORTER_OTLP_CERTIFICATE: pki.caPath });
    expect(lines.map((line) => line.slice(0, 2))).toEqual(["ok", "ok"]);
  });

  test.each([
    [401, /OTEL_EXPORTER_OTLP_HEADERS/],
    [404, /OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, which is the whole URL/],
  ])(
    "and reports the status %d of a collector, without the user and password of its URL",
    async (code, fix) => {
      await using receiver = await startOtlpHttp();
      receiver.behavior = code;
      const endpoint = receiver.url.replace("//", "//user:hidden-word@");
      const problems = problemsOf(upstream, ["--otlp-logging"], { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
      await expectProblem(problems, "sinks", new RegExp(`the collector answered ${code}$`), fix);
      expect(JSON.stringify(await problems)).not.toContain("hidden-word");
    },
  );
});

describe("doctor checks StatsD", () => {
  test("by a datagram without a metric, and says what UDP cannot show", async () => {
    using agent = await UdpListener.start();
    const lines = await sinkLines(["--statsd-logging"], { STATSD_PORT_OVERRIDE: String(agent.port) });
    expect(lines).toEqual([expect.stringMatching(/^ok .*UDP cannot show whether an agent receives it$/)]);
    await eventually(() => expect(agent.datagrams).toEqual(["\n"]));
  });

  test("and reports a local port on which nothing listens, and a host that does not resolve", async () => {
    const port = { STATSD_PORT_OVERRIDE: String(await unusedUdpPort()) };
    const unused = problemsOf(upstream, ["--datadog-logging"], port);
    // Deno does not report that a datagram was refused.
    if (isOnDeno) expect(await unused).toEqual([]);
    else await expectProblem(unused, "sinks", /nothing is listening there/, /STATSD_PORT_OVERRIDE/);
    const nowhere = problemsOf(upstream, ["--statsd-logging"], { STATSD_HOST_OVERRIDE: "nowhere.invalid" });
    await expectProblem(nowhere, "sinks", /nowhere\.invalid/, /STATSD_HOST_OVERRIDE/);
  });

  test("at a socket that is there, and at one that is not", async () => {
    const path = join(folder, "agent.sock");
    const env = { STATSD_SOCKET: path };
    const missing = problemsOf(upstream, ["--statsd-logging"], env);
    await expectProblem(missing, "sinks", /no such socket/, /mount its socket, or correct STATSD_SOCKET/);
    using agent = new UnixDatagramListener(path);
    expect(await sinkLines(["--statsd-logging"], env)).toEqual([expect.stringMatching(/takes datagrams$/)]);
    await eventually(() => expect(agent.datagrams).toEqual(["\n"]));
  });
});

describe("doctor checks the project that --statsig-logging sends metrics to", () => {
  const env = { STATSIG_SERVER_SDK_KEY: "secret-of-the-metrics-0123" };

  test("by an empty batch", async () => {
    const lines = await sinkLines(["--statsig-logging"], env);
    expect(lines).toEqual([
      expect.stringMatching(/^ok +sinks +Statsig: secret-of-\*\w{6}: http\S+ responds 20\d to an empty/),
    ]);
  });

  test("and reports a key that is rejected", async () => {
    await using other = await startUpstream();
    other.misbehave(status(401));
    const problems = problemsOf(upstream, ["--statsig-logging"], {
      ...env,
      LOG_EVENT_STATSIG_ENDPOINT: other.url,
    });
    await expectProblem(
      problems,
      "sinks",
      /^Statsig: secret-of-\*\w{6}: .*rejects the key$/,
      /STATSIG_SERVER_SDK_KEY/,
    );
  });
});
