import { afterAll, beforeAll, expect, test } from "bun:test";
import { curl } from "../support/clients/curl.ts";
import type { GrpcClient } from "../support/clients/grpc-client.ts";
import { describeWith } from "../support/common/needs.ts";
import type { Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import {
  ClientCertificates,
  curlTls,
  startRelayWithTls,
  tlsGrpcClient,
} from "../support/relay/relay-with-tls.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const URI = 0x86;
const SEQUENCE = 0x30;

/** A subjectAltName with this URI, in DER: openssl's own syntax allows no comma in a name. */
function uriName(uri: string): string {
  const name = [URI, uri.length, ...Buffer.from(uri)];
  return `DER:${Buffer.from([SEQUENCE, name.length, ...name]).toString("hex")}`;
}

describeWith("openssl", "curl")("--client-cert-allowed-names", () => {
  const owned = new AsyncDisposableStack();
  let pki: ClientCertificates;
  let server: Certified;
  let upstream: Upstream;
  let published: PublishedKey;
  let caPath: string;

  beforeAll(async () => {
    pki = owned.use(new ClientCertificates());
    caPath = pki.authority.caPath;
    server = pki.authority.issue();
    upstream = owned.use(await startUpstream());
    published = publishKey(upstream, "secret-tls-names");
  });
  afterAll(() => owned.disposeAsync());

  const specsUrl = (relay: RelayProcess, protocol: string): string =>
    `${relay.urlOf(protocol)}/v2/download_config_specs/${published.sdkKey}.json`;
  const byHttp = async (relay: RelayProcess, protocol: "http" | "https", client?: Certified) => {
    const { body } = await curl(...curlTls(caPath, client), specsUrl(relay, protocol));
    return Buffer.from(body).toString();
  };
  const byGrpc = async (client: GrpcClient): Promise<string> => {
    using owner = client;
    const { message } = await owner.getConfigSpec({ sdkKey: published.sdkKey, version: 2 });
    return message.spec;
  };
  const startFor = async (names: string): Promise<RelayProcess> => {
    const args = ["--enforce-mtls", "--client-cert-allowed-names", names];
    return owned.use(await startRelayWithTls({ upstream, server, clientCaPath: caPath, args }));
  };
  const isServed = async (relay: RelayProcess, client: Certified): Promise<boolean> => {
    const overHttp = (await byHttp(relay, "https", client)) === published.v2;
    const overGrpc = await byGrpc(tlsGrpcClient(relay.urlOf("grpcs"), caPath, client)).then(
      (spec) => spec === published.v2,
      () => false,
    );
    expect(overGrpc).toBe(overHttp);
    return overHttp;
  };

  test.each([
    ["the common name", "svc-a"],
    ["a name of the subjectAltName", "svc-a.example"],
    ["one of several", "svc-x, svc-a ,svc-y"],
  ])("%s", async (_, names) => {
    const relay = await startFor(names);
    expect(await isServed(relay, pki.good)).toBe(true);
    expect(await isServed(relay, pki.otherName)).toBe(false);
  });

  test("names match as a whole, and only names match", async () => {
    const relay = await startFor("svc,a.example,SVC-A,DNS:svc-a.example,DNS,CN=svc-a,*.example");
    expect(await isServed(relay, pki.good)).toBe(false);
  });

  test("a URI name, as of SPIFFE", async () => {
    const relay = await startFor("spiffe://cluster.example/ns/a/sa/b");
    const named = pki.authority.issue({ altNames: "URI:spiffe://cluster.example/ns/a/sa/b" });
    expect(await isServed(relay, named)).toBe(true);
    expect(await isServed(relay, pki.good)).toBe(false);
  });

  test("a common name cannot inject another one", async () => {
    const relay = await startFor("svc-a");
    for (const commonName of ["svc-b, DNS:svc-a", "svc-b, svc-a"])
      expect(await isServed(relay, pki.authority.issue({ commonName, altNames: "none" }))).toBe(false);
  });

  test("the right name in a certificate of a wrong CA is not enough", async () => {
    const relay = await startFor("svc-a");
    expect(await isServed(relay, pki.wrongCa)).toBe(false);
    expect(await isServed(relay, pki.expired)).toBe(false);
  });

  test("a name cannot inject another one", async () => {
    const relay = await startFor("svc-a");
    for (const name of ["svc-b, DNS:svc-a", 'svc-b", DNS:svc-a', "svc-b\0, DNS:svc-a"])
      expect(await isServed(relay, pki.authority.issue({ altNames: uriName(name) }))).toBe(false);
  });
});
