import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RedisTls } from "../../src/redis/options.ts";

/** An authority of the test's own, a certificate of it for 127.0.0.1 and one for the client, in a folder. */
export interface RedisCertificates extends Disposable {
  readonly client: RedisTls;
  readonly configLines: readonly string[];
  readonly cliArgs: readonly string[];
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];

export function createRedisCertificates(): RedisCertificates {
  const folder = mkdtempSync(join(tmpdir(), "sfp-redis-tls-"));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  const path = (name: string): string => join(folder, name);
  const [ca, caKey] = [path("ca.pem"), path("ca.key")];
  const pair = (name: string): [string, string] => [path(`${name}.pem`), path(`${name}.key`)];
  const request = (...args: string[]) =>
    execFileSync("openssl", ["req", "-x509", ...KEY, ...args], { stdio: "pipe" });
  try {
    request("-subj", "/CN=Test authority", "-keyout", caKey, "-out", ca);
    for (const name of ["server", "client"]) {
      const [cert, key] = pair(name);
      const names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
      const signed = ["-CA", ca, "-CAkey", caKey];
      request(
        "-subj",
        `/CN=${name}`,
        ...names,
        ...signed,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        key,
        "-out",
        cert,
      );
    }
  } catch (error) {
    dispose();
    throw error;
  }
  const [serverCert, serverKey] = pair("server");
  const [certPath, keyPath] = pair("client");
  return {
    client: { caPath: ca, certPath, keyPath },
    configLines: [
      `tls-cert-file ${serverCert}`,
      `tls-key-file ${serverKey}`,
      `tls-ca-cert-file ${ca}`,
      "tls-auth-clients yes",
    ],
    cliArgs: ["--tls", "--cacert", ca, "--cert", certPath, "--key", keyPath],
    [Symbol.dispose]: dispose,
  };
}
