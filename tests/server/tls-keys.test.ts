import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { curl } from "../support/clients/curl.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { curlTls, startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const PASSPHRASE = "sesame-4711";
const withPassphrase = (passphrase: string) => ({ SFP_X509_SERVER_KEY_PASSPHRASE: passphrase });

let authority: Authority;
let server: Certified;
let locked: Certified;
let upstream: Upstream;
let published: PublishedKey;

/** Whether a GET returns the published key. */
async function isServedTo(relay: RelayProcess, protocol: "http" | "https", ...args: string[]) {
  const url = `${relay.urlOf(protocol)}/v2/download_config_specs/${published.sdkKey}.json`;
  const { body } = await curl(...curlTls(authority.caPath), ...args, url);
  return Buffer.from(body).toString() === published.v2;
}

const hasNoSecret = (output: string, { keyPath }: Certified): void => {
  expect(output).not.toContain(PASSPHRASE);
  expect(output).not.toContain("PRIVATE KEY");
  for (const line of readFileSync(keyPath, "utf8").split("\n"))
    if (line.length > 20 && !line.startsWith("-----")) expect(output).not.toContain(line);
};

describeWith("openssl", "curl")("what is served over TLS", () => {
  const owned = new AsyncDisposableStack();
  beforeAll(async () => {
    authority = owned.use(new Authority());
    server = authority.issue();
    locked = authority.encrypted(authority.issue({ commonName: "locked" }), PASSPHRASE);
    upstream = owned.use(await startUpstream());
    published = publishKey(upstream, "secret-tls-start");
  });
  afterAll(() => owned.disposeAsync());

  test.each([
    ["PKCS#8", () => locked],
    ["traditional", () => authority.encrypted(authority.issue(), PASSPHRASE, "traditional")],
  ])("an encrypted %s key with its passphrase, which is never shown", async (_, files) => {
    const tls = files();
    await using relay = await startRelayWithTls({
      upstream,
      server: tls,
      args: ["--debug-logging"],
      env: withPassphrase(PASSPHRASE),
    });
    expect(await isServedTo(relay, "https")).toBe(true);
    expect(await relay.stop()).toBe(0);
    hasNoSecret(relay.output(), tls);
  });

  test("an RSA key", async () => {
    const rsa = authority.issue({ key: "rsa" });
    await using relay = await startRelayWithTls({ upstream, server: rsa });
    expect(await isServedTo(relay, "https")).toBe(true);
    hasNoSecret(relay.output(), rsa);
  });

  test("warns of a certificate that expires in 5 days, not of one that expires in 30", async () => {
    const soon = authority.issue({ validDays: [-1, 5.5] });
    await using warned = await startRelayWithTls({ upstream, server: soon });
    await eventually(() => expect(warned.output()).toMatch(/warn.*certificate expires soon.*days_left=5/i));
    await using quiet = await startRelayWithTls({ upstream, server });
    expect(quiet.output()).not.toContain("expires soon");
  });

  describe("versions of TLS", () => {
    const upTo = (version: string) => ["--tls-max", version, "--ciphers", "DEFAULT@SECLEVEL=0"];
    const isSpoken = async (relay: RelayProcess, version: string): Promise<boolean> => {
      const ports = [relay.urlOf("https"), relay.urlOf("grpcs")].map(async (url) => {
        const { exitCode, stderr } = await curl(...curlTls(authority.caPath), ...upTo(version), "-v", url);
        return { isConnected: /SSL connection using/.test(stderr), exitCode, stderr };
      });
      const [https, grpcs] = await Promise.all(ports);
      expect(https?.isConnected).toBe(grpcs?.isConnected);
      // The server rejects it. Of TLS 1.1, Deno's does not say that the version is why.
      const alert = isOnDeno ? /alert (handshake failure|protocol version)/ : /alert protocol version/;
      if (!https?.isConnected) expect(https?.stderr).toMatch(alert);
      return https?.isConnected ?? false;
    };

    test("1.2 and later by default", async () => {
      await using relay = await startRelayWithTls({ upstream, server });
      expect(await isSpoken(relay, "1.1")).toBe(false);
      expect(await isSpoken(relay, "1.2")).toBe(true);
      expect(await isSpoken(relay, "1.3")).toBe(true);
    });

    test("only 1.3 with --tls-min-version 1.3", async () => {
      await using relay = await startRelayWithTls({ upstream, server, args: ["--tls-min-version", "1.3"] });
      expect(await isSpoken(relay, "1.1")).toBe(false);
      expect(await isSpoken(relay, "1.2")).toBe(false);
      expect(await isSpoken(relay, "1.3")).toBe(true);
    });
  });
});
