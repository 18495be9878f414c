import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { Authority } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";

const SUITES_1_2 = {
  rsa: ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
  ec: ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
} as const;
const SUITES_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

const run = promisify(execFile);

/** Returns the suite that openssl negotiates with this port if it offers these, "none" if there is none. */
async function agreedOn(
  url: string,
  version: "-tls1_2" | "-tls1_3",
  suites: readonly string[],
): Promise<string> {
  const { hostname, port } = new URL(url);
  const offered = suites.join(":");
  const offer = version === "-tls1_2" ? ["-cipher", `${offered}:@SECLEVEL=0`] : ["-ciphersuites", offered];
  const args = ["s_client", "-connect", `${hostname}:${port}`, version, ...offer];
  const child = run("openssl", args, { timeout: 10_000 });
  child.child.stdin?.end();
  const { stdout } = await child.catch((error: { readonly stdout: string }) => error);
  return /Cipher is (\S+)/.exec(stdout)?.[1] ?? "none";
}

/** Every TLS 1.2 suite that this openssl knows, including those that are off by default. */
function everySuite(): readonly string[] {
  const args = ["ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"];
  const all = execFileSync("openssl", args, { encoding: "utf8" }).trim().split(":");
  return all.filter((name) => !name.startsWith("TLS_"));
}

/** Returns the TLS 1.2 suites that the port accepts: offers all, and then each time those that it has not chosen yet. */
async function takenSuites(url: string): Promise<readonly string[]> {
  const taken: string[] = [];
  let left = everySuite();
  while (left.length > 0) {
    const suite = await agreedOn(url, "-tls1_2", left);
    if (!left.includes(suite)) break;
    taken.push(suite);
    left = left.filter((each) => each !== suite);
  }
  return taken.toSorted();
}

describeWith("openssl")("cipher suites", () => {
  const owned = new AsyncDisposableStack();
  let authority: Authority;
  beforeAll(() => {
    authority = owned.use(new Authority());
  });
  afterAll(() => owned.disposeAsync());

  const expectSuites = async (relay: RelayProcess, key: "rsa" | "ec") => {
    for (const protocol of ["https", "grpcs"]) {
      const url = relay.urlOf(protocol);
      expect(await takenSuites(url)).toEqual([...SUITES_1_2[key]]);
      for (const suite of SUITES_1_3) expect(await agreedOn(url, "-tls1_3", [suite])).toBe(suite);
    }
  };

  test("of all suites of openssl, both ports accept those with forward secrecy and authenticated encryption", async () => {
    using files = new CertificateFiles();
    files.inPlace(authority.issue({ key: "rsa" }), authority.caPath);
    await using relay = await startRelayWithTls({ server: files });
    await expectSuites(relay, "rsa");
  }, 60_000);

  test("a new certificate, here with another kind of key, adds no suites", async () => {
    using files = new CertificateFiles();
    files.inPlace(authority.issue({ key: "rsa" }), authority.caPath);
    await using relay = await startRelayWithTls({ server: files });
    const next = authority.issue({ key: "ec" });
    files.inPlace(next, authority.caPath);
    await eventually(
      async () => {
        for (const protocol of ["https", "grpcs"])
          expect(await serialShown(relay.urlOf(protocol))).toBe(serialIn(next));
      },
      { withinMs: 20_000 },
    );
    await expectSuites(relay, "ec");
  }, 60_000);
});
