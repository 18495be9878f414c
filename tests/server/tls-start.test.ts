import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import { type FinishedRun, runRelay } from "../support/relay/relay-process.ts";
import { startRelayWithTls, tlsArgs } from "../support/relay/relay-with-tls.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const CERT = "--x509-server-cert-path";
const KEY = "--x509-server-key-path";
const CA = "--x509-client-cert-path";
const PASSPHRASE = "sesame-4711";
const withPassphrase = (passphrase: string) => ({ SFP_X509_SERVER_KEY_PASSPHRASE: passphrase });

let authority: Authority;
let server: Certified;
let locked: Certified;
let upstream: Upstream;

const fileOf = (name: string, text: string): string => {
  const path = join(authority.folder, name);
  writeFileSync(path, text);
  return path;
};

const hasNoSecret = (output: string, { keyPath }: Certified): void => {
  expect(output).not.toContain(PASSPHRASE);
  expect(output).not.toContain("PRIVATE KEY");
  for (const line of readFileSync(keyPath, "utf8").split("\n"))
    if (line.length > 20 && !line.startsWith("-----")) expect(output).not.toContain(line);
};

describeWith("openssl")("TLS at startup", () => {
  const owned = new AsyncDisposableStack();
  beforeAll(async () => {
    authority = owned.use(new Authority());
    server = authority.issue();
    locked = authority.encrypted(authority.issue({ commonName: "locked" }), PASSPHRASE);
    upstream = owned.use(await startUpstream());
  });
  afterAll(() => owned.disposeAsync());

  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<FinishedRun> =>
    runRelay(["--http-port", "0", "--grpc-port", "0", ...args, "grpc-and-http", "disabled"], env);

  const expectRefused = ({ exitCode, stdout, stderr }: FinishedRun, ...words: (string | RegExp)[]): void => {
    expect(exitCode).toBe(1);
    expect(stdout).not.toContain("listening");
    // One line, and nothing else.
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    for (const word of words) expect(stderr).toMatch(word);
  };

  describe("files that cannot be used", () => {
    const missing = () => join(authority.folder, "missing.pem");
    const noPem = () => fileOf("no.pem", "hello\n");
    const damaged = () =>
      fileOf("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const expired = () => authority.issue({ validDays: [-10, -2] });
    const dayOf = (date: string) => new Date(date).toISOString().slice(0, 10);
    const read = ({ certPath }: Certified) => new X509Certificate(readFileSync(certPath));

    test.each([
      ["a certificate that is missing", CERT, missing, "no such file"],
      ["a certificate that is a folder", CERT, () => authority.folder, /folder|directory/],
      ["a certificate that is no PEM", CERT, noPem, "no PEM certificate"],
      ["a certificate that is damaged", CERT, damaged, "damaged"],
      ["a key that is missing", KEY, missing, "no such file"],
      ["a key that is a folder", KEY, () => authority.folder, /folder|directory/],
      ["a key that is no PEM", KEY, noPem, "no PEM private key"],
      ["a key that is a certificate", KEY, () => server.certPath, "no PEM private key"],
      ["a CA that is missing", CA, missing, "no such file"],
      ["a CA that is a folder", CA, () => authority.folder, /folder|directory/],
      ["a CA file that is no PEM", CA, noPem, "no PEM certificate"],
      ["a CA file that holds a key alone", CA, () => server.keyPath, "no PEM certificate"],
    ])("%s: exit 1, and one line names option, file and reason", async (_, option, file, reason) => {
      const path = file();
      const given = new Map([
        [CERT, server.certPath],
        [KEY, server.keyPath],
        [option, path],
      ]);
      expectRefused(await run([...given].flat()), option, JSON.stringify(path), reason);
    });

    test("a key of another certificate", async () => {
      const { keyPath } = authority.issue();
      const other = { certPath: server.certPath, keyPath };
      const finished = await run(tlsArgs(other));
      expectRefused(finished, KEY, CERT, keyPath, server.certPath, "does not belong");
      hasNoSecret(finished.stderr, other);
    });

    test("an expired certificate", async () => {
      const files = expired();
      expectRefused(
        await run(tlsArgs(files)),
        CERT,
        files.certPath,
        `expired on ${dayOf(read(files).validTo)}`,
      );
    });

    test("a certificate that is not valid yet", async () => {
      const files = authority.issue({ validDays: [2, 10] });
      expectRefused(
        await run(tlsArgs(files)),
        CERT,
        files.certPath,
        `not valid before ${dayOf(read(files).validFrom)}`,
      );
    });

    test.each([
      ["without a passphrase", {}],
      ["with an empty passphrase", withPassphrase("")],
      ["with a wrong passphrase", withPassphrase("open-4711")],
    ])("an encrypted key %s", async (_, env) => {
      const finished = await run(tlsArgs(locked), env);
      expectRefused(finished, KEY, locked.keyPath, "SFP_X509_SERVER_KEY_PASSPHRASE");
      expect(finished.stderr).not.toContain("open-4711");
      hasNoSecret(finished.stderr, locked);
    });
  });

  describe("options that need others", () => {
    test.each([
      ["--enforce-mtls without a CA", () => [...tlsArgs(server), "--enforce-mtls"], "x509-client-cert-path"],
      ["--enforce-mtls without a certificate", () => ["--enforce-mtls"], "x509-server-cert-path"],
      ["--enforce-tls true without files", () => ["--enforce-tls", "true"], "x509-server-cert-path"],
      ["--enforce-tls without files", () => ["--enforce-tls"], "x509-server-cert-path"],
      [
        "a certificate without a key",
        () => ["--x509-server-cert-path", server.certPath],
        "x509-server-key-path",
      ],
      [
        "a key without a certificate",
        () => ["--x509-server-key-path", server.keyPath],
        "x509-server-cert-path",
      ],
      [
        "a CA without a certificate",
        () => ["--x509-client-cert-path", authority.caPath],
        "x509-server-cert-path",
      ],
      [
        "--client-cert-allowed-names without --enforce-mtls",
        () => [...tlsArgs(server, authority.caPath), "--client-cert-allowed-names", "svc-a"],
        "--enforce-mtls",
      ],
    ])("%s: exit 1, and one line says what is missing", async (_, args, needed) => {
      expectRefused(await run(args()), needed);
    });

    test("--enforce-tls false without files means no TLS", async () => {
      await using relay = await startRelayWithTls({ upstream, args: ["--enforce-tls", "false"] });
      expect(relay.output()).toContain("protocol=http ");
      expect(relay.output()).not.toContain("protocol=https");
    });

    test("an obsolete version of TLS: exit 2", async () => {
      const { exitCode, stderr } = await run([...tlsArgs(server), "--tls-min-version", "1.1"]);
      expect([exitCode, stderr]).toEqual([2, expect.stringContaining("--tls-min-version")]);
    });
  });
});
