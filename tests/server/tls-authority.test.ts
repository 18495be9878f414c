import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { curl } from "../support/clients/curl.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually, within } from "../support/common/wait.ts";
import { CertificateFiles } from "../support/relay/certificate-files.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import { curlTls, startRelayWithTls, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** The relay looks at the files once a second. */
const PATIENCE = { withinMs: 20_000 };
const sdkKey = "secret-tls-authority";

/** Returns what openssl's client prints for one GET over TLS 1.3. */
async function answerTo(url: string, args: readonly string[]): Promise<string> {
  const command = ["s_client", "-tls1_3", "-ign_eof", "-connect", new URL(url).host, ...args];
  const child = spawn("openssl", command, { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined);
  child.stdin.end("GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  return within(text(child.stdout), 15_000, "openssl's client to end");
}

describeWith("openssl", "curl")("a new authority of clients' certificates", () => {
  const owned = new AsyncDisposableStack();
  let authority: Authority;
  let upstream: Upstream;
  let first: Certified;
  let version = 0;
  beforeAll(async () => {
    authority = owned.use(new Authority());
    upstream = owned.use(await startUpstream());
    first = authority.issue();
  });
  afterAll(() => owned.disposeAsync());

  test.each([
    ["required", ["--enforce-mtls"]],
    ["optional", []],
  ])(
    "client certificates %s: its clients are served, clients of the old one no longer",
    async (_, args) => {
      using newAuthority = new Authority("New authority");
      const clientOf = (issuer: Authority) => issuer.issue({ commonName: "svc-a", altNames: "none" });
      const [oldClient, newClient] = [clientOf(authority), clientOf(newAuthority)];
      using files = new CertificateFiles();
      files.inPlace(first, authority.caPath);
      await using relay = await startRelayWithTls({
        upstream,
        server: files,
        clientCaPath: files.caPath,
        args,
      });
      const { v2, lcut } = publishKey(upstream, sdkKey, ++version);
      const overHttp = async (client: Certified) => {
        const url = `${relay.urlOf("https")}/v2/download_config_specs/${sdkKey}.json`;
        const { body } = await curl(...curlTls(authority.caPath, client), url);
        return Buffer.from(body).toString() === v2;
      };
      const overGrpc = async (client: Certified) => {
        using grpc = tlsGrpcClient(relay.urlOf("grpcs"), authority.caPath, client);
        return await grpc.getConfigSpec({ sdkKey, version: 2 }).then(
          ({ message }) => message.lastUpdated === lcut,
          () => false,
        );
      };
      const served = async (client: Certified) => [await overHttp(client), await overGrpc(client)];
      expect(await served(oldClient)).toEqual([true, true]);
      expect(await served(newClient)).toEqual([false, false]);
      using grpc = tlsGrpcClient(relay.urlOf("grpcs"), authority.caPath, oldClient);
      using stream = grpc.streamConfigSpec({ sdkKey, version: 2 });
      await stream.next();

      files.inPlace(first, newAuthority.caPath);
      await eventually(async () => expect(await served(newClient)).toEqual([true, true]), PATIENCE);
      expect(await served(oldClient)).toEqual([false, false]);
      const next = publishKey(upstream, sdkKey, ++version);
      expect((await stream.next()).lastUpdated).toBe(next.lcut);
    },
    60_000,
  );

  test("a session from before a new CA cannot be resumed without a certificate of that CA", async () => {
    using newAuthority = new Authority("New authority");
    const client = authority.issue({ commonName: "svc-a", altNames: "none" });
    using files = new CertificateFiles();
    files.inPlace(first, authority.caPath);
    const args = ["--enforce-mtls"];
    await using relay = await startRelayWithTls({
      upstream,
      server: files,
      clientCaPath: files.caPath,
      args,
    });
    const url = relay.urlOf("https");
    const session = join(newAuthority.folder, "session.pem");
    expect(
      await answerTo(url, ["-sess_out", session, "-cert", client.certPath, "-key", client.keyPath]),
    ).toContain("200 OK");
    const resumed = await answerTo(url, ["-sess_in", session]);
    expect(resumed).toContain("Reused");
    expect(resumed).toContain("200 OK");
    files.inPlace(first, newAuthority.caPath);
    await eventually(() => expect(relay.output()).toContain("certificate replaced"), PATIENCE);
    // The threads that serve have it some milliseconds later than the log.
    await eventually(async () => expect(await answerTo(url, ["-sess_in", session])).not.toContain("200 OK"));
  }, 60_000);
});
