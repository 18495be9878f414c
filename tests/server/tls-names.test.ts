import { afterAll, beforeAll, expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import type { Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls, TlsSetup, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";

const URI = 0x86;
const SEQUENCE = 0x30;

/** A subjectAltName with this URI, in DER: openssl's own syntax allows no comma in a name. */
function uriName(uri: string): string {
  const name = [URI, uri.length, ...Buffer.from(uri)];
  return `DER:${Buffer.from([SEQUENCE, name.length, ...name]).toString("hex")}`;
}

describeWith("openssl", "curl")("--client-cert-allowed-names", () => {
  let setup: TlsSetup;
  const relays = new AsyncDisposableStack();
  beforeAll(async () => {
    setup = await TlsSetup.start("secret-tls-names");
  });
  afterAll(async () => {
    await relays.disposeAsync();
    await setup?.[Symbol.asyncDispose]();
  });

  const startFor = async (names: string): Promise<RelayProcess> => {
    const args = ["--enforce-mtls", "--client-cert-allowed-names", names];
    return relays.use(
      await startRelayWithTls({
        upstream: setup.upstream,
        server: setup.server,
        clientCaPath: setup.caPath,
        args,
      }),
    );
  };
  const isServed = async (relay: RelayProcess, client: Certified): Promise<boolean> => {
    const overHttp = (await setup.byHttp(relay, "https", client)) === setup.published.v2;
    const overGrpc = await setup.byGrpc(tlsGrpcClient(relay.urlOf("grpcs"), setup.caPath, client)).then(
      (spec) => spec === setup.published.v2,
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
    expect(await isServed(relay, setup.pki.good)).toBe(true);
    expect(await isServed(relay, setup.pki.otherName)).toBe(false);
  });

  test("names match as a whole, and only names match", async () => {
    const relay = await startFor("svc,a.example,SVC-A,DNS:svc-a.example,DNS,CN=svc-a,*.example");
    expect(await isServed(relay, setup.pki.good)).toBe(false);
  });

  test("a URI name, as of SPIFFE", async () => {
    const relay = await startFor("spiffe://cluster.example/ns/a/sa/b");
    const named = setup.pki.authority.issue({ altNames: "URI:spiffe://cluster.example/ns/a/sa/b" });
    expect(await isServed(relay, named)).toBe(true);
    expect(await isServed(relay, setup.pki.good)).toBe(false);
  });

  test("a common name cannot inject another one", async () => {
    const relay = await startFor("svc-a");
    for (const commonName of ["svc-b, DNS:svc-a", "svc-b, svc-a"])
      expect(await isServed(relay, setup.pki.authority.issue({ commonName, altNames: "none" }))).toBe(false);
  });

  test("the right name in a certificate of a wrong CA is not enough", async () => {
    const relay = await startFor("svc-a");
    expect(await isServed(relay, setup.pki.wrongCa)).toBe(false);
    expect(await isServed(relay, setup.pki.expired)).toBe(false);
  });

  test("a name cannot inject another one", async () => {
    const relay = await startFor("svc-a");
    for (const name of ["svc-b, DNS:svc-a", 'svc-b", DNS:svc-a', "svc-b\0, DNS:svc-a"])
      expect(await isServed(relay, setup.pki.authority.issue({ altNames: uriName(name) }))).toBe(false);
  });
});
