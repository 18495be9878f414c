import { type Environment, type Settings, StartError } from "./settings.ts";
import type { TlsVersion } from "./tls/tls-options.ts";

/** TLS on the ports that have it. */
export interface TlsConfig {
  readonly certPath: string;
  readonly keyPath: string;
  /** Of the authorities of clients' certificates; undefined: clients are asked for none. */
  readonly clientCaPath: string | undefined;
  /** `SFP_X509_SERVER_KEY_PASSPHRASE`. */
  readonly passphrase: string | undefined;
  readonly requireClientCert: boolean;
  /** Empty: every name. */
  readonly clientNames: readonly string[];
  readonly minVersion: TlsVersion;
  readonly httpsPort: number;
  readonly grpcsPort: number;
  /** Whether the ports without TLS are open as well. */
  readonly plaintextToo: boolean;
}

/** Undefined where no certificate is given. Throws {@link StartError}: never a silent fall-back to plaintext. */
export function readTls(settings: Settings, env: Environment): TlsConfig | undefined {
  const certPath = settings.text("x509-server-cert-path");
  const keyPath = settings.text("x509-server-key-path");
  const clientCaPath = settings.text("x509-client-cert-path") || undefined;
  const requireClientCert = settings.flag("enforce-mtls");
  const clientNames = settings.texts("client-cert-allowed-names");
  const enforceTls = !settings.isGiven("enforce-tls") || settings.flag("enforce-tls");
  const minVersion = settings.word("tls-min-version", ["1.2", "1.3"]);
  const needs = (name: Parameters<Settings["shown"]>[0], others: string) => {
    throw new StartError(`${settings.shown(name)} needs ${others}, which is not given`);
  };
  if (certPath === "" && keyPath !== "") needs("x509-server-key-path", "--x509-server-cert-path");
  if (certPath !== "" && keyPath === "") needs("x509-server-cert-path", "--x509-server-key-path");
  if (requireClientCert && certPath === "") needs("enforce-mtls", "--x509-server-cert-path");
  if (requireClientCert && clientCaPath === undefined) needs("enforce-mtls", "--x509-client-cert-path");
  if (clientCaPath !== undefined && certPath === "")
    needs("x509-client-cert-path", "--x509-server-cert-path");
  if (clientNames.length > 0 && !requireClientCert) needs("client-cert-allowed-names", "--enforce-mtls");
  if (certPath === "") {
    if (settings.isGiven("enforce-tls") && enforceTls) needs("enforce-tls", "--x509-server-cert-path");
    return undefined;
  }
  return {
    certPath,
    keyPath,
    clientCaPath,
    passphrase: env["SFP_X509_SERVER_KEY_PASSPHRASE"] || undefined,
    requireClientCert,
    clientNames,
    minVersion,
    httpsPort: settings.integer("https-port"),
    grpcsPort: settings.integer("grpcs-port"),
    plaintextToo: !enforceTls,
  };
}
