import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../scripts/command.ts";
import { findDeno, toDenoCommand } from "../../scripts/deno/deno-program.ts";
import { findBlackBoxTests } from "../../scripts/test/black-box-tests.ts";
import { withoutBunOnly } from "../../scripts/test/not-on-deno.ts";
import { EventStream } from "../support/clients/event-stream.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { countMixedResponses } from "../support/clients/pipelining-client.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls, TlsSetup, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";
import { sumOf } from "../support/telemetry/statsd-lines.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { publishKey, publishSized } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** A few tests of the relay on Deno for each change. `npm run test:deno` runs all that can hold there. */
const deno = findDeno();
const outer = {
  SFP_TEST_BINARY: process.env["SFP_TEST_BINARY"],
  SFP_TEST_DENO: process.env["SFP_TEST_DENO"],
};

function hasDenoPackage(): boolean {
  const { platform, arch } = process;
  const loader = { x64: "/lib64/ld-linux-x86-64.so.2", arm64: "/lib/ld-linux-aarch64.so.1" }[String(arch)];
  return platform === "darwin" || (platform === "linux" && loader !== undefined && existsSync(loader));
}

beforeAll(() => {
  delete process.env["SFP_TEST_BINARY"];
  if (deno !== undefined) process.env["SFP_TEST_DENO"] = deno;
});
afterAll(() => {
  for (const [name, value] of Object.entries(outer)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

test("docs/runtimes.md has the pinned version, and the command with the permissions that these tests have", () => {
  const text = readFileSync(join(root, "docs", "runtimes.md"), "utf8");
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    devDependencies: Readonly<Record<string, string>>;
  };
  expect(text).toContain(`| version | ${Bun.version} | ${devDependencies["deno"]} |`);
  const words = toDenoCommand("deno", "src/main.ts").slice(["env", "DENO_NO_UPDATE_CHECK=1"].length);
  expect(text.replace(/ \\\n +/g, " ")).toContain(words.join(" "));
});

test("what `npm run test:deno` leaves out are black-box tests, and a small part of them", async () => {
  const files = await findBlackBoxTests();
  expect(withoutBunOnly(files).length).toBeGreaterThan(0.9 * files.length);
  expect(() => withoutBunOnly(files.filter((file) => !file.includes("/repo/")))).toThrow(
    "tests/repo/ in scripts/test/not-on-deno.ts is no black-box test",
  );
});

// Without Deno, its tests are skipped.
test.if(hasDenoPackage())("Deno is installed on a platform for which npm has it", () => {
  expect(deno).toBeDefined();
});

describe.skipIf(deno === undefined)("the relay on Deno", () => {
  test("names its runtime in --version", async () => {
    const { exitCode, stdout } = await runRelay(["--version"]);
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringMatching(/^statsig-forward-proxy \S+ \(.*, Deno 2\./),
    ]);
  });

  test("serves one config spec over HTTP, gRPC and both kinds of streams, from two threads, and ends on SIGTERM", async () => {
    await using upstream = await startUpstream();
    const { sdkKey, ...first } = publishKey(upstream, "secret-deno");
    await using relay = await startRelayProcess({ upstream, args: ["--serving-threads", "2"] });
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    using events = await EventStream.open(`${relay.httpUrl}/v2/stream_config_specs/${sdkKey}`);
    expect((await stream.next()).spec).toBe(first.v2);
    expect((await events.next()).data).toBe(first.v2);
    const newer = publishKey(upstream, sdkKey, 1);
    expect((await stream.next()).spec).toBe(newer.v2);
    expect((await events.next()).data).toBe(newer.v2);
    expect((await client.getConfigSpec({ sdkKey, version: 2 })).message.spec).toBe(newer.v2);
    const url = `${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`;
    for (const coding of ["identity", "gzip", "br", "zstd"]) {
      // The connection may be one of the other thread, which gets the version at about the same time.
      await eventually(async () => {
        const answer = await rawGet(url, { "accept-encoding": coding });
        expect(answer.headers["content-encoding"] ?? "identity").toBe(coding);
        expect(textOf(answer)).toBe(newer.v2);
      });
    }
    const proto = await rawGet(url, { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" });
    expect(proto.body.equals(newer.proto)).toBe(true);
    expect(await relay.stop()).toBe(0);
  }, 60_000);

  test("forwards log events", async () => {
    await using events = await startEventRelay();
    const { sdkKey } = publishKey(events.upstream, "secret-deno-events");
    const body = { events: [{ eventName: "purchase" }], statsigMetadata: { sdkType: "test" } };
    expect((await events.post(sdkKey, body)).status).toBe(202);
    await eventually(() => expect(events.forwarded(sdkKey)[0]?.events).toEqual(body.events));
    expect(await events.relay.stop()).toBe(0);
  }, 60_000);

  test("repeats a request with log events only itself, and reports that", async () => {
    await using events = await startEventRelay();
    const { sdkKey } = publishKey(events.upstream, "secret-deno-reset");
    const post = (eventName: string) => events.post(sdkKey, { events: [{ eventName }] });
    expect((await post("first")).status).toBe(202);
    await eventually(() => expect(events.forwarded(sdkKey)).toHaveLength(1));
    const used = new Set(events.upstream.requests.map(({ clientPort }) => clientPort));
    const isPost = ({ path }: { readonly path: string }) => path === "/v1/log_event";
    events.upstream.misbehave({ kind: "reset" }, { times: 1, when: isPost });
    expect((await post("second")).status).toBe(202);
    await eventually(() => expect(events.forwarded(sdkKey)).toHaveLength(3), { withinMs: 20_000 });
    // Deno repeats only a request whose connection was used before.
    expect(used).toContain(events.forwarded(sdkKey)[1]?.request.clientPort ?? 0);
    await eventually(() => expect(events.relay.output()).toContain("log events not forwarded, retrying"));
    expect(await events.relay.stop()).toBe(0);
    expect(events.forwarded(sdkKey)).toHaveLength(3);
  }, 60_000);

  test("sends a client that stalls its own responses, whatever others request meanwhile", async () => {
    await using upstream = await startUpstream();
    const stalled = publishSized(upstream, "secret-deno-stalled", 12_000);
    const other = publishSized(upstream, "secret-deno-other", 12_000);
    await using relay = await startRelayProcess({ upstream, mode: "http", pollIntervalS: 60 });
    expect(await countMixedResponses(relay.httpUrl, stalled, other)).toBe(0);
  }, 60_000);

  test("killed and restarted without upstream, it serves what the local backup has", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sfp-deno-"));
    try {
      await using upstream = await startUpstream();
      const { sdkKey, v2 } = publishKey(upstream, "secret-deno-backup");
      const local = { upstream, cache: "local", args: ["--local-cache-path", folder] } as const;
      const ask = async (url: string) =>
        textOf(await rawGet(`${url}/v2/download_config_specs/${sdkKey}.json`));
      {
        await using relay = await startRelayProcess(local);
        expect(await ask(relay.httpUrl)).toBe(v2);
        await relay.kill();
      }
      await upstream.stop();
      await using relay = await startRelayProcess(local);
      expect(await ask(relay.httpUrl)).toBe(v2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);

  test("sends metrics to a Unix datagram socket, by calls of the C library", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sfp-deno-"));
    try {
      using agent = new UnixDatagramListener(join(folder, "agent.sock"));
      const env = { STATSD_SOCKET: agent.path, DATADOG_MAX_BATCH_TIME_MS: "600000" };
      await using relay = await startRelayProcess({ mode: "http", args: ["--datadog-logging"], env });
      expect((await rawGet(`${relay.httpUrl}/v1/health`)).status).toBe(200);
      expect(await relay.stop()).toBe(0);
      agent.read();
      expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);

  describeWith("openssl", "curl")("with TLS", () => {
    test("serves HTTPS over HTTP/1.1 and HTTP/2, and gRPC", async () => {
      await using setup = await TlsSetup.start("secret-deno-tls");
      await using relay = await startRelayWithTls({ upstream: setup.upstream, server: setup.server });
      expect(await setup.byHttp(relay, "https")).toBe(setup.published.v2);
      expect(await setup.byGrpc(tlsGrpcClient(relay.urlOf("grpcs"), setup.caPath))).toBe(setup.published.v2);
      const watch = `${relay.urlOf("https")}/v2/stream_config_specs/${setup.published.sdkKey}`;
      for (const isHttp2 of [false, true]) {
        using events = await EventStream.open(watch, { isHttp2 });
        expect((await events.next()).data).toBe(setup.published.v2);
      }
    }, 60_000);
  });
});
