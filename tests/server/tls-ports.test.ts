import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { credentials } from "@grpc/grpc-js";
import { curl } from "../support/clients/curl.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { failureOf } from "../support/common/failure.ts";
import { describeWith } from "../support/common/needs.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { curlTls, startRelayWithTls, TlsSetup, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";

/** The relay itself would close a connection without a request after 10 s. */
const CURL_TIMED_OUT = 28;

describeWith("openssl", "curl")("ports with TLS", () => {
  let setup: TlsSetup;
  beforeAll(async () => {
    setup = await TlsSetup.start("secret-tls-ports");
  });
  afterAll(async () => {
    await setup?.[Symbol.asyncDispose]();
  });

  const protocolsOf = (relay: RelayProcess): string[] =>
    Array.from(relay.output().matchAll(/listening protocol=(\S+)/g), ([, protocol = ""]) => protocol).sort();

  const expectServesBoth = async (relay: RelayProcess): Promise<void> => {
    expect(await setup.byHttp(relay, "https")).toBe(setup.published.v2);
    expect(await setup.byGrpc(tlsGrpcClient(relay.urlOf("grpcs"), setup.caPath))).toBe(setup.published.v2);
  };

  test("with a certificate, the ports without TLS stay closed", async () => {
    await using relay = await startRelayWithTls({ upstream: setup.upstream, server: setup.server });
    expect(protocolsOf(relay)).toEqual(["grpcs", "https"]);
    await expectServesBoth(relay);
  });

  test.each([
    ["http", ["https"]],
    ["grpc", ["grpcs"]],
  ] as const)("mode %s opens only its own port with TLS", async (mode, protocols) => {
    await using relay = await startRelayWithTls({ upstream: setup.upstream, server: setup.server, mode });
    expect(protocolsOf(relay)).toEqual([...protocols]);
  });

  test("--enforce-tls false: all four ports respond", async () => {
    await using relay = await startRelayWithTls({
      upstream: setup.upstream,
      server: setup.server,
      args: ["--enforce-tls", "false"],
    });
    expect(protocolsOf(relay)).toEqual(["grpc", "grpcs", "http", "https"]);
    await expectServesBoth(relay);
    expect(await setup.byHttp(relay, "http")).toBe(setup.published.v2);
    expect(await setup.byGrpc(new GrpcClient(relay.grpcUrl))).toBe(setup.published.v2);
  });

  describe("clients on the wrong port are closed cleanly, and the relay continues", () => {
    const stack = new AsyncDisposableStack();
    let relay: RelayProcess;
    beforeAll(async () => {
      relay = stack.use(
        await startRelayWithTls({
          upstream: setup.upstream,
          server: setup.server,
          args: ["--enforce-tls", "false"],
        }),
      );
    });
    afterAll(() => stack.disposeAsync());

    const expectEnded = async (scheme: string, protocol: string, ...args: string[]): Promise<void> => {
      const url = setup.specsUrl(relay, protocol).replace(/^\w+:/, `${scheme}:`);
      const { exitCode, status } = await curl(...curlTls(setup.caPath), "-m", "8", ...args, url);
      expect(exitCode).not.toBe(CURL_TIMED_OUT);
      expect([0, 400]).toContain(status);
      await expectServesBoth(relay);
      expect(await setup.byHttp(relay, "http")).toBe(setup.published.v2);
      expect(await setup.byGrpc(new GrpcClient(relay.grpcUrl))).toBe(setup.published.v2);
    };

    test("TLS on the HTTP port", () => expectEnded("https", "http"));
    test("TLS on the gRPC port", () => expectEnded("https", "grpc"));
    test("HTTP on the HTTPS port", () => expectEnded("http", "https"));
    test("HTTP on the gRPC port with TLS", () => expectEnded("http", "grpcs"));
    test("HTTP/2 in plaintext on the HTTPS port", () =>
      expectEnded("http", "https", "--http2-prior-knowledge"));
    test("HTTP/2 in plaintext on the gRPC port with TLS", () =>
      expectEnded("http", "grpcs", "--http2-prior-knowledge"));

    test("grpc-js without TLS on the gRPC port with TLS", async () => {
      const plain = new GrpcClient(relay.urlOf("grpcs"), credentials.createInsecure());
      expect(await failureOf(setup.byGrpc(plain))).toMatchObject({ code: 14 });
      await expectServesBoth(relay);
    });
  });
});
