import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, type TLSSocket } from "node:tls";
import { describeUnreadable, type FileContents } from "../platform/file-watch.ts";

/** What TLS needs, read and found to belong together. */
export interface Certificates {
  /** PEM, with the chain behind it: the certificates that were read, and nothing else of the file. */
  readonly cert: string;
  /** PEM, no longer encrypted. */
  readonly key: string;
  /** PEM of the authorities of clients' certificates. */
  readonly ca: string | undefined;
  /** Hexadecimal. */
  readonly serial: string;
  /** Ms since the Unix epoch. */
  readonly expiresAt: number;
}

/** The files can't be used; the message is one line that names the option, the file and the reason. */
export class CertificateError extends Error {}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A block of another kind, such as the private key. */
const OTHER_PEM_BLOCK = /-----BEGIN (?!CERTIFICATE-)([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** UTF-8's byte order mark, as latin1 reads it. The TLS library does not find a PEM block behind it. */
const BYTE_ORDER_MARK = /^\u00ef\u00bb\u00bf/;

/** Checks the files as a whole. Throws {@link CertificateError}. Never has a key or a passphrase in a message. */
export function loadCertificates(files: TlsFiles, contents: FileContents, nowMs: number): Certificates {
  const { certPath, keyPath, clientCaPath, passphrase } = files;
  const certOption = `--x509-server-cert-path "${certPath}"`;
  const keyOption = `--x509-server-key-path "${keyPath}"`;
  const chain = certificatesOf(textOf(contents, certPath, certOption), certOption);
  const keyText = textOf(contents, keyPath, keyOption);
  const [leaf] = chain;
  const key = privateKeyOf(keyText, passphrase, keyOption);
  if (!leaf.checkPrivateKey(key)) {
    throw new CertificateError(`${keyOption} does not belong to the certificate in ${certOption}`);
  }
  const expiresAt = Date.parse(leaf.validTo);
  if (expiresAt <= nowMs) throw new CertificateError(`${certOption} expired on ${dayOf(expiresAt)}`);
  const validFrom = Date.parse(leaf.validFrom);
  if (validFrom > nowMs) throw new CertificateError(`${certOption} is not valid before ${dayOf(validFrom)}`);
  const material = {
    cert: pemOf(chain),
    key: key.export({ type: "pkcs8", format: "pem" }).toString(),
    ca: clientCaPath === undefined ? undefined : authoritiesOf(contents, clientCaPath),
    serial: leaf.serialNumber,
    expiresAt,
  };
  checkTogether(material, certOption);
  return material;
}

function authoritiesOf(contents: FileContents, path: string): string {
  const option = `--x509-client-cert-path "${path}"`;
  return pemOf(certificatesOf(textOf(contents, path, option), option));
}

const pemOf = (certificates: readonly X509Certificate[]): string => certificates.join("");

/** The TLS library has the last word, before any server is given them: all ports take them over, or none does. */
function checkTogether({ cert, key, ca }: Certificates, certOption: string): void {
  try {
    createSecureContext({ cert, key, ...(ca !== undefined && { ca }) });
  } catch (error) {
    const reason = String((error as NodeJS.ErrnoException).code ?? "an unknown reason");
    throw new CertificateError(`${certOption} is rejected by the TLS library: ${reason}`);
  }
}

function textOf(contents: FileContents, path: string, option: string): string {
  const content = contents.get(path);
  if (content === undefined) throw new CertificateError(`cannot read ${option}: ${describeUnreadable(path)}`);
  if (content.length === 0) throw new CertificateError(`${option} is empty`);
  return content.toString("latin1").replace(BYTE_ORDER_MARK, "");
}

/** At least one. A file that is still being written must not be taken for one with a shorter chain. */
function certificatesOf(text: string, option: string): readonly [X509Certificate, ...X509Certificate[]] {
  const rest = text.replaceAll(PEM_BLOCK, "").replaceAll(OTHER_PEM_BLOCK, "");
  if (/^-----/m.test(rest)) throw new CertificateError(`${option} is cut short: a PEM block has no end`);
  const [first, ...others] = (text.match(PEM_BLOCK) ?? []).map((block) => certificateOf(block, option));
  if (first === undefined) throw new CertificateError(`${option} holds no PEM certificate`);
  return [first, ...others];
}

function certificateOf(block: string, option: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch {
    throw new CertificateError(`${option} holds a damaged certificate`);
  }
}

function privateKeyOf(text: string, passphrase: string | undefined, option: string): KeyObject {
  const isEncrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
  if (isEncrypted && passphrase === undefined) {
    throw new CertificateError(`${option} is encrypted: set SFP_X509_SERVER_KEY_PASSPHRASE`);
  }
  try {
    return createPrivateKey({ key: text, ...(isEncrypted && { passphrase }) });
  } catch {
    const reason = isEncrypted
      ? "can't be decrypted with SFP_X509_SERVER_KEY_PASSPHRASE"
      : "holds no PEM private key";
    throw new CertificateError(`${option} ${reason}`);
  }
}

const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** Why a client is not served, after the handshake; undefined where it is. */
export function refusalOf(socket: TLSSocket, rules: ClientCertRules): string | undefined {
  const certificate = socket.getPeerCertificate();
  // The types say that there always is one.
  const isGiven = Boolean(certificate?.raw);
  if (!isGiven) return rules.requireClientCert ? "no certificate" : undefined;
  if (!socket.authorized) return String(socket.authorizationError ?? "not trusted");
  if (rules.clientNames.length === 0) return undefined;
  const names = [certificate.subject?.CN, ...alternativeNames(certificate.subjectaltname)].flat();
  return names.some((name) => name !== undefined && rules.clientNames.includes(name))
    ? undefined
    : "its name is not among --client-cert-allowed-names";
}

/** Of `DNS:a.example, URI:spiffe://cluster/ns/x, email:x`; a name with a comma in it is quoted, and none of ours. */
function alternativeNames(text = ""): string[] {
  const entries = text.split(", ").filter((entry) => /^(DNS|URI):/.test(entry));
  return entries.map((entry) => entry.slice(entry.indexOf(":") + 1));
}

/** The oldest version of the protocol that is spoken. */
export type TlsVersion = "1.2" | "1.3";

export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  /** Of the authorities of clients' certificates; undefined: clients are asked for none. */
  readonly clientCaPath: string | undefined;
  /** Of the private key, where that is encrypted. */
  readonly passphrase: string | undefined;
}

interface ClientCertRules {
  /** Else a certificate is checked where the client has one. */
  readonly requireClientCert: boolean;
  /** Common names, or names of the subjectAltName; empty: every name. */
  readonly clientNames: readonly string[];
}

export interface TlsOptions extends TlsFiles, ClientCertRules {
  readonly minVersion: TlsVersion;
}
