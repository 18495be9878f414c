import type { TlsVersion } from "../server/certificates.ts";
import type { OptionGroup, OptionSpec } from "./option.ts";
import { type Environment, type Settings, StartError } from "./settings.ts";

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
  const certPath = settings.text(TLS.x509ServerCertPath);
  const keyPath = settings.text(TLS.x509ServerKeyPath);
  const clientCaPath = settings.text(TLS.x509ClientCertPath) || undefined;
  const requireClientCert = settings.flag(TLS.enforceMtls);
  const clientNames = settings.texts(TLS.clientCertAllowedNames);
  const enforceTls = !settings.isGiven(TLS.enforceTls) || settings.flag(TLS.enforceTls);
  const minVersion = settings.word(TLS.tlsMinVersion);
  const needs = (option: OptionSpec, others: string) => {
    throw new StartError(`${settings.shown(option)} needs ${others}, which is not given`);
  };
  if (certPath === "" && keyPath !== "") needs(TLS.x509ServerKeyPath, "--x509-server-cert-path");
  if (certPath !== "" && keyPath === "") needs(TLS.x509ServerCertPath, "--x509-server-key-path");
  if (requireClientCert && certPath === "") needs(TLS.enforceMtls, "--x509-server-cert-path");
  if (requireClientCert && clientCaPath === undefined) needs(TLS.enforceMtls, "--x509-client-cert-path");
  if (clientCaPath !== undefined && certPath === "") needs(TLS.x509ClientCertPath, "--x509-server-cert-path");
  if (clientNames.length > 0 && !requireClientCert) needs(TLS.clientCertAllowedNames, "--enforce-mtls");
  if (certPath === "") {
    if (settings.isGiven(TLS.enforceTls) && enforceTls) needs(TLS.enforceTls, "--x509-server-cert-path");
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
    httpsPort: settings.integer(TLS.httpsPort),
    grpcsPort: settings.integer(TLS.grpcsPort),
    plaintextToo: !enforceTls,
  };
}

const port = { kind: "integer", min: 0, max: 65_535, placeholder: "PORT" } as const;
const pem = { kind: "text", placeholder: "FILE" } as const;

/** The options of TLS, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const TLS = {
  httpsPort: { name: "https-port", ...port, default: "8443", description: "HTTPS port; 0 for any free one" },
  grpcsPort: {
    name: "grpcs-port",
    ...port,
    default: "50052",
    description: "gRPC port with TLS; 0 for any free one",
  },
  x509ServerCertPath: {
    name: "x509-server-cert-path",
    ...pem,
    description: "PEM file of the server's certificate and its chain: turns TLS on",
  },
  x509ServerKeyPath: { name: "x509-server-key-path", ...pem, description: "PEM file of its private key" },
  x509ClientCertPath: {
    name: "x509-client-cert-path",
    ...pem,
    description: "PEM file of the authorities that clients' certificates come from",
  },
  enforceTls: {
    name: "enforce-tls",
    kind: "text",
    words: ["true", "false"],
    placeholder: "true|false",
    description: "With a certificate, whether the ports without TLS stay closed (Default: true)",
  },
  enforceMtls: {
    name: "enforce-mtls",
    kind: "flag",
    description: "Serve only clients that have a certificate",
  },
  clientCertAllowedNames: {
    name: "client-cert-allowed-names",
    kind: "text",
    isList: true,
    placeholder: "NAMES",
    description: "Names of clients' certificates that are served (Default: all that the authorities know)",
  },
  tlsMinVersion: {
    name: "tls-min-version",
    kind: "text",
    default: "1.2",
    words: ["1.2", "1.3"],
    placeholder: "1.2|1.3",
    description: "The oldest version of TLS that is spoken",
  },
} as const satisfies OptionGroup;
