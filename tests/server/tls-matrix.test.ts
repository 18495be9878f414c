import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { status as code, credentials } from "@grpc/grpc-js";
import { curl } from "../support/clients/curl.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { failureOf } from "../support/common/failure.ts";
import { describeWith } from "../support/common/needs.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import {
  ClientCertificates,
  curlTls,
  startRelayWithTls,
  tlsGrpcClient,
} from "../support/relay/relay-with-tls.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { correct, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const MODES = ["no TLS", "TLS", "mTLS optional", "mTLS required"] as const;
const CLIENTS = ["no certificate", "a good certificate", "one of a wrong CA", "an expired one"] as const;
type Mode = (typeof MODES)[number];
type Client = (typeof CLIENTS)[number];

/** A server that requests no certificate gets none. */
const isServed = (mode: Mode, client: Client): boolean => {
  switch (mode) {
    case "no TLS":
    case "TLS":
      return true;
    case "mTLS optional":
      return client === "no certificate" || client === "a good certificate";
    case "mTLS required":
      return client === "a good certificate";
  }
};

const sdkKey = "secret-tls-matrix";
const sdkRevision = revision("secret-tls-sdk", 0);

describeWith(
  "openssl",
  "curl",
  "node",
)("TLS by mode and by the client's certificate", () => {
  const owned = new AsyncDisposableStack();
  let pki: ClientCertificates;
  let upstream: Upstream;
  let emptyUpstream: Upstream;
  let published: PublishedKey;
  const relays = new Map<Mode, RelayProcess>();

  beforeAll(async () => {
    pki = owned.use(new ClientCertificates());
    upstream = owned.use(await startUpstream());
    emptyUpstream = owned.use(await startUpstream());
    published = publishKey(upstream, sdkKey);
    upstream.publish(sdkRevision.sdkKey, "v2", specV2(sdkRevision));
    const server = pki.authority.issue();
    const clientCaPath = pki.authority.caPath;
    const started = {
      "no TLS": startRelayProcess({ upstream }),
      TLS: startRelayWithTls({ upstream, server }),
      "mTLS optional": startRelayWithTls({ upstream, server, clientCaPath }),
      "mTLS required": startRelayWithTls({ upstream, server, clientCaPath, args: ["--enforce-mtls"] }),
    };
    for (const mode of MODES) relays.set(mode, owned.use(await started[mode]));
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  const urlOf = (mode: Mode, protocol: "http" | "grpc"): string =>
    relays.get(mode)?.urlOf(mode === "no TLS" ? protocol : `${protocol}s`) ?? "";
  const certificateOf = (client: Client) =>
    ({
      "no certificate": undefined,
      "a good certificate": pki.good,
      "one of a wrong CA": pki.wrongCa,
      "an expired one": pki.expired,
    })[client];
  const grpcClient = (mode: Mode, client: Client): GrpcClient =>
    mode === "no TLS"
      ? new GrpcClient(urlOf(mode, "grpc"), credentials.createInsecure())
      : tlsGrpcClient(urlOf(mode, "grpc"), pki.authority.caPath, certificateOf(client));
  const spec = () => ({ spec: published.v2, lastUpdated: published.lcut });

  const rows = MODES.flatMap((mode) =>
    CLIENTS.map((client) => [mode, client, isServed(mode, client) ? "served" : "refused"] as const),
  );

  describe.each(rows)("%s, a client with %s: %s", (mode, client, ending) => {
    const askByCurl = (...args: string[]) =>
      curl(...curlTls(pki.authority.caPath, certificateOf(client)), ...args);

    test.each([
      ["HTTP/1.1", "--http1.1"],
      ["HTTP/2", "--http2"],
    ])("curl over %s", async (version, option) => {
      const url = `${urlOf(mode, "http")}/v2/download_config_specs/${sdkKey}.json`;
      const { exitCode, status, body, stderr } = await askByCurl(option, "-w", "%{http_version}", url);
      if (ending === "refused") {
        expect([status, exitCode === 0]).toEqual([0, false]);
        return;
      }
      expect([exitCode, status, stderr]).toEqual([0, 200, ""]);
      const spoken = version === "HTTP/2" && mode !== "no TLS" ? "2" : "1.1";
      expect(Buffer.from(body).toString()).toBe(published.v2 + spoken);
    });

    test("grpc-js, unary", async () => {
      using grpc = grpcClient(mode, client);
      const response = grpc.getConfigSpec({ sdkKey, version: 2 });
      if (ending === "refused") expect(await failureOf(response)).toMatchObject({ code: code.UNAVAILABLE });
      else expect((await response).message).toEqual(spec());
    });

    test("grpc-js, a stream", async () => {
      using grpc = grpcClient(mode, client);
      using stream = grpc.streamConfigSpec({ sdkKey, version: 2 });
      if (ending === "refused") expect((await stream.status()).code).toBe(code.UNAVAILABLE);
      else expect(await stream.next()).toEqual(spec());
    });

    test("statsig-node-core, streaming", async () => {
      const certificate = certificateOf(client);
      const withCertificate = certificate !== undefined && mode !== "no TLS";
      await using sdk = await startCoreSdk({
        sdkKey: sdkRevision.sdkKey,
        httpUrl: emptyUpstream.url,
        grpcUrl: urlOf(mode, "grpc"),
        // The SDK tries for as long as it may.
        ...(ending === "refused" && { grpcLimitMs: 2_000 }),
        grpcAuthentication: {
          authenticationMode: mode === "no TLS" ? "none" : withCertificate ? "mtls" : "tls",
          ...(mode !== "no TLS" && { caCertPath: pki.authority.caPath, domainName: "localhost" }),
          ...(withCertificate && {
            clientCertPath: certificate.certPath,
            clientKeyPath: certificate.keyPath,
          }),
        },
      });
      // Over HTTP it has no option for it.
      expect(sdk.initialised.ok).toBe(ending === "served");
      if (ending === "served") expect(await seenBy(sdk)).toEqual(correct(sdkRevision));
    });
  });

  test.each(MODES)("%s, statsig-node-core over HTTP, which cannot send a certificate", async (mode) => {
    await using sdk = await startCoreSdk({
      sdkKey: sdkRevision.sdkKey,
      httpUrl: urlOf(mode, "http"),
      ...(mode !== "no TLS" && { options: { proxyConfig: { caCertPath: pki.authority.caPath } } }),
    });
    const served = isServed(mode, "no certificate");
    expect(sdk.initialised.ok).toBe(served);
    if (served) expect(await seenBy(sdk)).toEqual(correct(sdkRevision));
  });

  describe.each(MODES)("%s, the RPCs on the HTTP port by curl", (mode) => {
    const call = (type: string, body: string) =>
      curl(
        ...[...curlTls(pki.authority.caPath, pki.good), "-H", `content-type: ${type}`],
        ...["--data-binary", body],
        `${urlOf(mode, "http")}/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec`,
      );

    test("Connect", async () => {
      const { status, body } = await call("application/json", JSON.stringify({ sdkKey, version: "v2" }));
      expect(status).toBe(200);
      const response: unknown = JSON.parse(Buffer.from(body).toString());
      expect(response).toEqual({ spec: published.v2, lastUpdated: String(published.lcut) });
    });

    test("gRPC-Web", async () => {
      const message = JSON.stringify({ sdkKey, version: "v2" });
      const file = `${pki.authority.folder}/request-${MODES.indexOf(mode)}`;
      await Bun.write(file, rpcFrame(message));
      const { status, headers, body } = await call("application/grpc-web+json", `@${file}`);
      expect([status, headers.get("content-type")]).toEqual([200, "application/grpc-web+json"]);
      expect(Buffer.from(body).toString()).toContain(JSON.stringify(published.v2));
    });
  });
});
