import { expect } from "bun:test";
import { createServer } from "node:net";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { freePort } from "../support/common/free-port.ts";
import { testsWith } from "../support/common/needs.ts";
import { Authority } from "../support/relay/pki.ts";
import {
  type RelayOptions,
  type RelayProcess,
  runRelay,
  startRelayProcess,
} from "../support/relay/relay-process.ts";
import { ClientCertificates, startRelayWithTls, tlsArgs } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const { describe, test } = testsWith("openssl");

/** Returns the options for the ports that a relay picked itself. */
function portsOf(relay: RelayProcess, ...protocols: ("http" | "https" | "grpc" | "grpcs")[]): string[] {
  return protocols.flatMap((protocol) => [`--${protocol}-port`, new URL(relay.urlOf(protocol)).port]);
}

async function healthcheck(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { exitCode, stdout, stderr } = await runRelay(["healthcheck", ...args], env);
  expect(stderr).toBe("");
  expect(stdout).toEndWith("\n");
  return [exitCode, stdout.trimEnd()];
}

async function withRelay(options: RelayOptions, use: (relay: RelayProcess) => Promise<void>) {
  await using upstream = await startUpstream();
  await using relay = await startRelayProcess({ upstream, ...options });
  await use(relay);
}

describe("healthcheck probes the relay with the same settings", () => {
  test("on the management port, with only the environment set", async () => {
    const ports = { SFP_MANAGEMENT_PORT: String(await freePort()), SFP_HTTP_PORT: "0", SFP_GRPC_PORT: "0" };
    const env = { ...ports, SFP_BIND_ADDRESS: "0.0.0.0" };
    await withRelay({ env }, async () => {
      const url = `http://127.0.0.1:${ports.SFP_MANAGEMENT_PORT}/readyz`;
      expect(await healthcheck([], env)).toEqual([0, `ready (${url})`]);
    });
  });

  test("over HTTP if there is no management port", () =>
    withRelay({ mode: "http" }, async (relay) => {
      expect(await healthcheck(["http", "disabled", ...portsOf(relay, "http")])).toEqual([
        0,
        `ready (http://127.0.0.1:${relay.httpPort}/v1/ready)`,
      ]);
    }));

  test("over gRPC if there is neither, even without the mode", () =>
    withRelay({ mode: "grpc" }, async (relay) => {
      const ready = [0, `ready (http://127.0.0.1:${relay.grpcPort})`];
      const ports = portsOf(relay, "grpc");
      expect(await healthcheck(["grpc", "disabled", ...ports])).toEqual(ready);
      const unused = ["--http-port", String(await freePort())];
      expect(await healthcheck([...unused, ...ports])).toEqual(ready);
    }));

  test("on the client port if the relay does not use the given management port", () =>
    withRelay({ mode: "http" }, async (relay) => {
      const args = ["--management-port", String(await freePort()), ...portsOf(relay, "http")];
      expect((await healthcheck(args))[0]).toBe(0);
    }));

  test("without a proxy", () =>
    withRelay({}, async (relay) => {
      const proxy = "http://127.0.0.1:1";
      const env = { HTTP_PROXY: proxy, http_proxy: proxy, HTTPS_PROXY: proxy, https_proxy: proxy };
      expect((await healthcheck(portsOf(relay, "http"), env))[0]).toBe(0);
      expect((await healthcheck(["grpc", ...portsOf(relay, "grpc")], env))[0]).toBe(0);
    }));
});

describe("healthcheck over TLS", () => {
  test("probes over HTTPS and gRPC, whatever the name in the certificate", async () => {
    using authority = new Authority();
    const server = authority.issue({ altNames: "DNS:relay.example" });
    await using relay = await startRelayWithTls({ server });
    const tls = tlsArgs(server).slice(4);
    const https = await healthcheck(["http", ...tls, ...portsOf(relay, "https")]);
    expect(https).toEqual([0, `ready (${relay.urlOf("https")}/v1/ready)`]);
    const grpcs = await healthcheck(["grpc", ...tls, ...portsOf(relay, "grpcs")]);
    expect(grpcs).toEqual([0, `ready (${relay.urlOf("grpcs")})`]);
  });

  test("with --enforce-mtls reports readiness on the management port and liveness on the client ports", async () => {
    using certificates = new ClientCertificates();
    const { authority } = certificates;
    const server = authority.issue();
    const management = ["--management-port", String(await freePort())];
    const args = ["--enforce-mtls", ...management];
    await using relay = await startRelayWithTls({ server, clientCaPath: authority.caPath, args });
    const tls = ["--enforce-mtls", ...tlsArgs(server, authority.caPath).slice(4)];
    expect(await healthcheck([...tls, ...management])).toEqual([
      0,
      expect.stringMatching(/^ready .*\/readyz\)$/),
    ]);
    const alive = [0, expect.stringMatching(/^alive, but readiness is unknown without a client certificate/)];
    expect(await healthcheck(["http", ...tls, ...portsOf(relay, "https")])).toEqual(alive);
    expect(await healthcheck(["grpc", ...tls, ...portsOf(relay, "grpcs")])).toEqual(alive);
  });
});

describe("healthcheck exits 1 with the reason", () => {
  test("while a preloaded key has no data, and 0 afterwards", async () => {
    await using upstream = await startUpstream();
    const undo = upstream.misbehave(status(500));
    const args = ["--preload-sdk-keys", "secret-preloaded"];
    await using relay = await startRelayProcess({ upstream, mode: "http", args });
    const ask = () => healthcheck(portsOf(relay, "http"));
    expect(await ask()).toEqual([1, expect.stringMatching(/^not ready: 1 of 1 preloaded keys .*secret-p\*/)]);
    publishKey(upstream, "secret-preloaded");
    undo();
    const readyBy = Date.now() + 15_000;
    let answer = await ask();
    while (answer[0] !== 0 && Date.now() < readyBy) answer = await ask();
    expect(answer[0]).toBe(0);
  });

  test("over gRPC when all streams are in use", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-stream");
    await using relay = await startRelayProcess({ upstream, mode: "grpc", args: ["-g", "1"] });
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey });
    await stream.next();
    expect(await healthcheck(["grpc", ...portsOf(relay, "grpc")])).toEqual([
      1,
      `not ready: grpc.health.v1 reports NOT_SERVING (http://127.0.0.1:${relay.grpcPort})`,
    ]);
  });

  test("when nothing is listening", async () => {
    const port = await freePort();
    expect(await healthcheck(["http", "--http-port", String(port)])).toEqual([
      1,
      `nothing is listening at http://127.0.0.1:${port}/v1/ready`,
    ]);
  });

  test.each(["http", "grpc"])("when there is no response in time, over %s", async (protocol) => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = silent.address() as { port: number };
      const args = [protocol, `--${protocol}-port`, String(port), "--timeout-in-s", "1"];
      const startedAt = Date.now();
      expect(await healthcheck(args)).toEqual([
        1,
        expect.stringMatching(/^readiness unknown: no response in time/),
      ]);
      expect(Date.now() - startedAt).toBeLessThan(10_000);
    } finally {
      silent.close();
    }
  });

  test("when its own options are invalid", async () => {
    expect(await healthcheck(["--timeout-in-s", "0"])).toEqual([
      1,
      'invalid value "0" for --timeout-in-s (expected a whole number from 1 to 300)',
    ]);
  });
});
