import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A self-signed certificate for 127.0.0.1 and localhost, in a folder that goes with it. */
export interface Certificate extends Disposable {
  readonly key: string;
  readonly cert: string;
  /** For NODE_EXTRA_CA_CERTS. */
  readonly certPath: string;
}

export function createCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "sfp-certificate-"));
  const [keyPath, certPath] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  try {
    const what = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    const whom = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
    execFileSync("openssl", ["req", "-x509", ...what, ...whom, "-keyout", keyPath, "-out", certPath], {
      stdio: "pipe",
    });
    const [key, cert] = [readFileSync(keyPath, "utf8"), readFileSync(certPath, "utf8")];
    return { key, cert, certPath, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}
