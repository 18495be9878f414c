import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { describeUnreadable, type FileContents } from "../platform/file-watch.ts";

/**
 * A certificate and its key, loaded and checked. Plain data, so that threads of this process can share it; since it holds a private
 * key, it goes nowhere else.
 */
export interface Certificates {
  /** PEM of the certificate and its chain, without anything else in the file. */
  readonly cert: string;
  /** PEM, decrypted. */
  readonly key: string;
  /** PEM of the authorities of client certificates. */
  readonly ca: string | undefined;
  /** Hexadecimal. */
  readonly serial: string;
  /** Ms since the Unix epoch. */
  readonly expiresAt: number;
}

/** The files cannot be used. The message is one line that names the option, the file and the reason. */
export class CertificateError extends Error {}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const PRIVATE_KEY_BLOCK = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?-----END \1-----/;

/** A PEM block of another kind, such as a private key. */
const OTHER_PEM_BLOCK = /-----BEGIN (?!CERTIFICATE-)([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** UTF-8's byte order mark, decoded as latin1. The TLS library does not find a PEM block behind it. */
const BYTE_ORDER_MARK = /^\u00ef\u00bb\u00bf/;

/**
 * Parses the files and checks that they belong together. Throws {@link CertificateError}. Messages never contain a key or a
 * passphrase.
 */
export function loadCertificates(files: TlsFiles, contents: FileContents, nowMs: number): Certificates {
  const { certPath, keyPath, clientCaPath, passphrase } = files;
  const certOption = `--x509-server-cert-path "${certPath}"`;
  const keyOption = `--x509-server-key-path "${keyPath}"`;
  const chain = parseCertificates(readText(contents, certPath, certOption), certOption);
  const keyText = readText(contents, keyPath, keyOption);
  const [leaf] = chain;
  const key = parsePrivateKey(keyText, passphrase, keyOption);
  if (!leaf.checkPrivateKey(key)) {
    throw new CertificateError(`${keyOption} does not belong to the certificate in ${certOption}`);
  }
  const expiresAt = Date.parse(leaf.validTo);
  if (expiresAt <= nowMs) throw new CertificateError(`${certOption} expired on ${formatDay(expiresAt)}`);
  const validFrom = Date.parse(leaf.validFrom);
  if (validFrom > nowMs)
    throw new CertificateError(`${certOption} is not valid before ${formatDay(validFrom)}`);
  const certificates = {
    cert: joinPem(chain),
    key: key.export({ type: "pkcs8", format: "pem" }).toString(),
    ca: clientCaPath === undefined ? undefined : loadAuthorities(contents, clientCaPath),
    serial: leaf.serialNumber,
    expiresAt,
  };
  checkByTlsLibrary(certificates, certOption);
  return certificates;
}

function loadAuthorities(contents: FileContents, path: string): string {
  const option = `--x509-client-cert-path "${path}"`;
  return joinPem(parseCertificates(readText(contents, path, option), option));
}

const joinPem = (certificates: readonly X509Certificate[]): string => certificates.join("");

/** Lets the TLS library check the files before any server gets them: all ports replace their certificate, or none does. */
function checkByTlsLibrary({ cert, key, ca }: Certificates, certOption: string): void {
  try {
    createSecureContext({ cert, key, ...(ca !== undefined && { ca }) });
  } catch (error) {
    const reason = String((error as NodeJS.ErrnoException).code ?? "an unknown reason");
    throw new CertificateError(`${certOption} is rejected by the TLS library: ${reason}`);
  }
}

function readText(contents: FileContents, path: string, option: string): string {
  const content = contents.get(path);
  if (content === undefined) throw new CertificateError(`cannot read ${option}: ${describeUnreadable(path)}`);
  if (content.length === 0) throw new CertificateError(`${option} is empty`);
  return content.toString("latin1").replace(BYTE_ORDER_MARK, "");
}

/** Throws if there is none. A file that is still being written must not pass for one with a shorter chain. */
function parseCertificates(text: string, option: string): readonly [X509Certificate, ...X509Certificate[]] {
  const rest = text.replaceAll(PEM_BLOCK, "").replaceAll(OTHER_PEM_BLOCK, "");
  if (/^-----/m.test(rest)) throw new CertificateError(`${option} is truncated: a PEM block has no end line`);
  const [first, ...others] = (text.match(PEM_BLOCK) ?? []).map((block) => parseCertificate(block, option));
  if (first === undefined) throw new CertificateError(`${option} ${explainNoCertificate(text)}`);
  return [first, ...others];
}

function explainNoCertificate(text: string): string {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return "holds no PEM certificate, but a private key (expected the file of the certificate)";
  }
  return isDer(text)
    ? "holds no PEM certificate, but DER (convert it: openssl x509 -inform der -in FILE -out FILE.pem)"
    : "holds no PEM certificate";
}

/** A file in DER is one SEQUENCE: its tag, its length in one to three bytes, and as many bytes as that. */
function isDer(text: string): boolean {
  const [tag, first = 0, second = 0, third = 0] = Buffer.from(text.slice(0, 4), "latin1");
  if (tag !== 0x30) return false;
  if (first < 0x80) return text.length === 2 + first;
  return text.length === (first === 0x81 ? 3 + second : 4 + second * 256 + third);
}

function parseCertificate(block: string, option: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch {
    throw new CertificateError(`${option} holds a damaged certificate`);
  }
}

function parsePrivateKey(text: string, passphrase: string | undefined, option: string): KeyObject {
  const isEncrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
  if (isEncrypted && passphrase === undefined) {
    throw new CertificateError(`${option} is encrypted: set SFP_X509_SERVER_KEY_PASSPHRASE`);
  }
  try {
    // Deno reads no key from a text with other blocks.
    return createPrivateKey({
      key: PRIVATE_KEY_BLOCK.exec(text)?.[0] ?? text,
      ...(isEncrypted && { passphrase }),
    });
  } catch {
    const reason = isEncrypted
      ? "cannot be decrypted with SFP_X509_SERVER_KEY_PASSPHRASE"
      : explainNoKey(text);
    throw new CertificateError(`${option} ${reason}`);
  }
}

function explainNoKey(text: string): string {
  if (text.includes("-----BEGIN CERTIFICATE-----")) {
    return "holds no PEM private key, but a certificate (expected the file of the private key)";
  }
  return isDer(text)
    ? "holds no PEM private key, but DER (convert it: openssl pkey -inform der -in FILE -out FILE.pem)"
    : "holds no PEM private key";
}

const formatDay = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** The oldest TLS version that is accepted. */
export type TlsVersion = "1.2" | "1.3";

export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  /** File of the authorities of client certificates. Undefined means that clients are not asked for a certificate. */
  readonly clientCaPath: string | undefined;
  /** The passphrase of an encrypted private key. */
  readonly passphrase: string | undefined;
}

/** Settings of the TLS ports besides the files: plain data without a secret. */
export interface TlsSettings {
  readonly minVersion: TlsVersion;
  /** If false, a client certificate is checked only if the client sends one. */
  readonly requireClientCert: boolean;
  /** The accepted common names or subjectAltNames. Empty accepts every name. */
  readonly clientNames: readonly string[];
}
