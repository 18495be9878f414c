import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { FileContents } from "../platform/file-watch.ts";
import { CertificateError, loadCertificates, type TlsFiles } from "../server/certificates.ts";
import { type Check, type CheckResult, failed, ok, warning } from "./check.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const DAY_MS = 24 * 3_600_000;
const WARN_BEFORE_DAYS = 14;

/** Whether the certificate can be used, for how long, and what clients must know to trust it. */
export function certificateCheck(files: TlsFiles | undefined): Check {
  return {
    name: "certificate",
    run: async () => {
      if (files === undefined) return [ok("none: the ports have no TLS")];
      try {
        const material = loadCertificates(files, contentsOf(files), Date.now());
        return [lifetime(material.expiresAt), chain(material.cert)];
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error;
        return [
          failed(error.message, "put a certificate, its key, and authorities there that belong together"),
        ];
      }
    },
  };
}

function lifetime(expiresAt: number): CheckResult {
  const days = Math.floor((expiresAt - Date.now()) / DAY_MS);
  const detail = `valid for ${days} more days`;
  return days < WARN_BEFORE_DAYS
    ? warning(detail, "renew it; the relay takes over new files by itself")
    : ok(detail);
}

/** Each certificate of the file must have issued the one before it. */
function chain(pem: string): CheckResult {
  const certificates = (pem.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
  const broken = certificates.findIndex((each, at) => {
    const before = certificates[at - 1];
    return before !== undefined && !before.checkIssued(each);
  });
  if (broken > 0) {
    const { subject } = certificates[broken] as X509Certificate;
    return warning(
      `the chain breaks at certificate ${broken + 1}, ${oneLine(subject)}`,
      "order the file: the server's certificate, then each one's issuer",
    );
  }
  const last = certificates.at(-1);
  return ok(
    `${certificates.length} in the chain; clients must trust ${oneLine(last?.issuer ?? "its issuer")}`,
  );
}

function contentsOf({ certPath, keyPath, clientCaPath }: TlsFiles): FileContents {
  const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
  return new Map(paths.map((path) => [path, readOrNothing(path)]));
}

function readOrNothing(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

const oneLine = (name: string) => name.replaceAll("\n", ", ");
