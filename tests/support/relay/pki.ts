import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate and its key, as PEM files in the folder of the authority that issued it. */
export interface Certified {
  readonly certPath: string;
  readonly keyPath: string;
}

/** Returns the contents of both files. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
}

export const pemOf = ({ certPath, keyPath }: Certified): Pem => ({
  cert: readFileSync(certPath, "utf8"),
  key: readFileSync(keyPath, "utf8"),
});

export interface CertificateWish {
  readonly commonName?: string;
  /** As in OpenSSL's `subjectAltName`; `none` for a certificate without alternative names. */
  readonly altNames?: string;
  /** Relative to now. OpenSSL rejects an end before the start. */
  readonly validDays?: readonly [from: number, until: number];
  readonly key?: "ec" | "rsa";
}

const KEY_ARGS = {
  ec: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
  rsa: ["-newkey", "rsa:2048", "-nodes"],
};
const LOOPBACK = "IP:127.0.0.1,DNS:localhost";
const DAY_MS = 86_400_000;

/** A certificate authority, created by openssl. Its files are deleted on disposal. */
export class Authority implements Disposable {
  readonly folder: string;
  readonly caPath: string;
  readonly #config: string;
  #issued = 0;

  constructor(commonName = "Test authority") {
    this.folder = mkdtempSync(join(tmpdir(), "sfp-pki-"));
    this.caPath = this.#path("ca.pem");
    this.#config = this.#path("ca.cnf");
    try {
      const out = ["-keyout", this.#path("ca.key"), "-out", this.caPath];
      openssl("req", "-x509", ...KEY_ARGS.ec, "-days", "30", "-subj", `/CN=${commonName}`, ...out);
      writeFileSync(this.#config, configOf(this.folder));
      writeFileSync(this.#path("index.txt"), "");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** By default, the certificate is for a server on loopback, with an EC key, valid since yesterday for 30 days. */
  issue(wish: CertificateWish = {}): Certified {
    const { commonName = "localhost", altNames = LOOPBACK, validDays = [-1, 30], key = "ec" } = wish;
    const name = `${++this.#issued}-${commonName}`;
    const [certPath, keyPath] = [this.#path(`${name}.pem`), this.#path(`${name}.key`)];
    const request = this.#path(`${name}.csr`);
    const names = altNames === "none" ? [] : ["-addext", `subjectAltName=${altNames}`];
    openssl(
      ...["req", ...KEY_ARGS[key], "-subj", `/CN=${commonName}`, ...names],
      ...["-keyout", keyPath, "-out", request],
    );
    // In OpenSSL 3.0, only `ca` can set both ends of the validity.
    openssl(
      ...["ca", "-batch", "-notext", "-config", this.#config, "-in", request, "-out", certPath],
      ...["-startdate", openSslTime(validDays[0]), "-enddate", openSslTime(validDays[1])],
    );
    return { certPath, keyPath };
  }

  /** Returns the same certificate with its key encrypted with a passphrase. */
  encrypted(
    { certPath, keyPath }: Certified,
    passphrase: string,
    form: "PKCS#8" | "traditional" = "PKCS#8",
  ): Certified {
    const locked = `${keyPath}.encrypted`;
    const kind = form === "PKCS#8" ? ["pkcs8", "-topk8"] : ["ec", "-aes256"];
    openssl(...kind, "-in", keyPath, "-out", locked, "-passout", `pass:${passphrase}`);
    return { certPath, keyPath: locked };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #path(name: string): string {
    return join(this.folder, name);
  }
}

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: "pipe" });
}

const openSslTime = (days: number): string =>
  new Date(Date.now() + days * DAY_MS).toISOString().replace(/[-:T]|\.\d+/g, "");

const configOf = (folder: string): string => `
[ca]
default_ca = authority
[authority]
certificate = ${folder}/ca.pem
private_key = ${folder}/ca.key
database = ${folder}/index.txt
new_certs_dir = ${folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
copy_extensions = copy
x509_extensions = leaf
[names]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
`;
