import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { FileContents } from "../platform/file-watch.ts";
import { CertificateError, loadCertificates, type TlsFiles } from "../server/certificates.ts";
import { type Check, type CheckResult, failed, ok, warning } from "./check.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const PLAINTEXT_TOO = warning(
  "the plaintext ports are open as well",
  "set --enforce-tls once no client uses them",
);
const DAY_MS = 24 * 3_600_000;
const WARN_BEFORE_DAYS = 14;

/** Checks whether the certificate is usable, when it expires, and which CA clients must trust. */
export function certificateCheck(files: (TlsFiles & { readonly plaintextToo: boolean }) | undefined): Check {
  return {
    name: "certificate",
    run: async () => {
      if (files === undefined) return [ok("not needed, the ports have no TLS")];
      try {
        const certificates = loadCertificates(files, readFiles(files), Date.now());
        const results = [checkExpiry(certificates.expiresAt), checkChain(certificates.cert)];
        return files.plaintextToo ? [...results, PLAINTEXT_TOO] : results;
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error;
        return [failed(error.message, "provide a certificate, key and CA certificates that belong together")];
      }
    },
  };
}

function checkExpiry(expiresAt: number): CheckResult {
  const days = Math.floor((expiresAt - Date.now()) / DAY_MS);
  const detail = `valid for ${days} more days`;
  return days < WARN_BEFORE_DAYS
    ? warning(detail, "renew it; the relay reloads the files without a restart")
    : ok(detail);
}

/** Each certificate of the file must have issued the one before it. */
function checkChain(pem: string): CheckResult {
  const certificates = (pem.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
  const broken = certificates.findIndex((each, at) => {
    const before = certificates[at - 1];
    return before !== undefined && !before.checkIssued(each);
  });
  if (broken > 0) {
    const { subject } = certificates[broken] as X509Certificate;
    return warning(
      `the chain breaks at certificate ${broken + 1}, ${oneLine(subject)}`,
      "order the file: first the server certificate, then the issuer of each one",
    );
  }
  const last = certificates.at(-1);
  return ok(
    `${certificates.length} in the chain; clients must trust ${oneLine(last?.issuer ?? "its issuer")}`,
  );
}

function readFiles({ certPath, keyPath, clientCaPath }: TlsFiles): FileContents {
  const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
  return new Map(paths.map((path) => [path, readIfPossible(path)]));
}

function readIfPossible(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

const oneLine = (name: string) => name.replaceAll("\n", ", ");
