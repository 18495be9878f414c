import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { FileContents } from "../file-watch.ts";
import { whyUnreadable } from "../unreadable.ts";
import type { TlsFiles } from "./tls-options.ts";

/** What TLS needs, read and found to belong together. */
export interface TlsMaterial {
  /** PEM, with the chain behind it. */
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
export class TlsMaterialError extends Error {}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Checks the files as a whole. Throws {@link TlsMaterialError}. Never has a key or a passphrase in a message. */
export function readMaterial(files: TlsFiles, contents: FileContents, nowMs: number): TlsMaterial {
  const { certPath, keyPath, clientCaPath, passphrase } = files;
  const certOption = `--x509-server-cert-path "${certPath}"`;
  const keyOption = `--x509-server-key-path "${keyPath}"`;
  const cert = textOf(contents, certPath, certOption);
  const keyText = textOf(contents, keyPath, keyOption);
  const [leaf] = certificatesOf(cert, certOption);
  if (leaf === undefined) throw new TlsMaterialError(`${certOption} holds no PEM certificate`);
  const key = privateKeyOf(keyText, passphrase, keyOption);
  if (!leaf.checkPrivateKey(key)) {
    throw new TlsMaterialError(`${keyOption} does not belong to the certificate in ${certOption}`);
  }
  const expiresAt = Date.parse(leaf.validTo);
  if (expiresAt <= nowMs) throw new TlsMaterialError(`${certOption} expired on ${dayOf(expiresAt)}`);
  const validFrom = Date.parse(leaf.validFrom);
  if (validFrom > nowMs) throw new TlsMaterialError(`${certOption} is not valid before ${dayOf(validFrom)}`);
  return {
    cert,
    key: key.export({ type: "pkcs8", format: "pem" }).toString(),
    ca: clientCaPath === undefined ? undefined : authoritiesOf(contents, clientCaPath),
    serial: leaf.serialNumber,
    expiresAt,
  };
}

function authoritiesOf(contents: FileContents, path: string): string {
  const option = `--x509-client-cert-path "${path}"`;
  const text = textOf(contents, path, option);
  if (certificatesOf(text, option).length > 0) return text;
  throw new TlsMaterialError(`${option} holds no PEM certificate`);
}

function textOf(contents: FileContents, path: string, option: string): string {
  const content = contents.get(path);
  if (content === undefined) throw new TlsMaterialError(`cannot read ${option}: ${whyUnreadable(path)}`);
  return content.toString("latin1");
}

function certificatesOf(text: string, option: string): X509Certificate[] {
  try {
    return (text.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
  } catch {
    throw new TlsMaterialError(`${option} holds a damaged certificate`);
  }
}

function privateKeyOf(text: string, passphrase: string | undefined, option: string): KeyObject {
  const isEncrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
  if (isEncrypted && passphrase === undefined) {
    throw new TlsMaterialError(`${option} is encrypted: set SFP_X509_SERVER_KEY_PASSPHRASE`);
  }
  try {
    return createPrivateKey({ key: text, ...(isEncrypted && { passphrase }) });
  } catch {
    const reason = isEncrypted
      ? "can't be decrypted with SFP_X509_SERVER_KEY_PASSPHRASE"
      : "holds no PEM private key";
    throw new TlsMaterialError(`${option} ${reason}`);
  }
}

const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);
