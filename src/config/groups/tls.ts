import type { TlsVersion } from "../../server/certificates.ts";
import { type OptionGroup, type OptionSpec, PORT } from "../option.ts";
import { type Environment, type Settings, StartError } from "../settings.ts";

/** TLS of the client ports. */
export interface TlsConfig {
  readonly certPath: string;
  readonly keyPath: string;
  /** The CA certificates of clients. Undefined if clients are not asked for a certificate. */
  readonly clientCaPath: string | undefined;
  /** `SFP_X509_SERVER_KEY_PASSPHRASE`. */
  readonly passphrase: string | undefined;
  readonly requireClientCert: boolean;
  /** Names that a client certificate may have. If empty, every name is allowed. */
  readonly clientNames: readonly string[];
  readonly minVersion: TlsVersion;
  readonly httpsPort: number;
  readonly grpcsPort: number;
  /** Whether the plaintext ports are open as well. */
  readonly plaintextToo: boolean;
}

/**
 * Returns undefined if no certificate is set. Throws {@link StartError} if an option is set without another that it requires: there
 * is no silent fallback to plaintext.
 */
export function readTls(settings: Settings, env: Environment): TlsConfig | undefined {
  const certPath = settings.text(TLS.x509ServerCertPath);
  const keyPath = settings.text(TLS.x509ServerKeyPath);
  const caPath = settings.text(TLS.x509ClientCertPath) || undefined;
  const requireClientCert = readRequireClientCert(settings);
  const clientNames = settings.texts(TLS.clientCertAllowedNames);
  const enforceTls = settings.flag(TLS.enforceTls);
  const minVersion = settings.word(TLS.tlsMinVersion);
  const requires = (option: OptionSpec, other: string) => {
    throw new StartError(`${settings.shown(option)} requires ${other}, which is not set`);
  };
  if (certPath === "" && keyPath !== "") requires(TLS.x509ServerKeyPath, "--x509-server-cert-path");
  if (certPath !== "" && keyPath === "") requires(TLS.x509ServerCertPath, "--x509-server-key-path");
  const requiredBy = settings.flag(TLS.enforceMtls) ? TLS.enforceMtls : TLS.sslVerifyClient;
  if (requireClientCert && certPath === "") requires(requiredBy, "--x509-server-cert-path");
  if (requireClientCert && caPath === undefined) requires(requiredBy, "--x509-client-cert-path");
  if (caPath !== undefined && certPath === "") requires(TLS.x509ClientCertPath, "--x509-server-cert-path");
  if (clientNames.length > 0 && !requireClientCert) requires(TLS.clientCertAllowedNames, "--enforce-mtls");
  if (certPath === "") {
    if (enforceTls) requires(TLS.enforceTls, "--x509-server-cert-path");
    return undefined;
  }
  return {
    certPath,
    keyPath,
    clientCaPath: settings.word(TLS.sslVerifyClient) === "off" ? undefined : caPath,
    passphrase: env["SFP_X509_SERVER_KEY_PASSPHRASE"] || undefined,
    requireClientCert,
    clientNames,
    minVersion,
    httpsPort: settings.integer(TLS.httpsPort),
    grpcsPort: settings.integer(TLS.grpcsPort),
    plaintextToo: !enforceTls,
  };
}

/** Two options say the same, since the image of the original proxy has one of its own for HTTPS. */
function readRequireClientCert(settings: Settings): boolean {
  const enforceMtls = settings.flag(TLS.enforceMtls);
  const verify = settings.word(TLS.sslVerifyClient);
  if (!enforceMtls || verify !== "off") return enforceMtls || verify === "on";
  const [one, other] = [TLS.sslVerifyClient, TLS.enforceMtls].map((option) => settings.shown(option));
  throw new StartError(`${one} off contradicts ${other} (remove one of them)`);
}

const pem = { kind: "text", placeholder: "FILE" } as const;

/** The options of TLS, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const TLS = {
  httpsPort: { name: "https-port", ...PORT, default: "8443", description: "HTTPS port; 0 picks a free one" },
  grpcsPort: {
    name: "grpcs-port",
    ...PORT,
    default: "50052",
    description: "gRPC port with TLS; 0 picks a free one",
  },
  x509ServerCertPath: {
    name: "x509-server-cert-path",
    ...pem,
    description: "PEM file with the server certificate and its chain; enables TLS",
  },
  x509ServerKeyPath: {
    name: "x509-server-key-path",
    ...pem,
    description: "PEM file with the private key of the server certificate",
  },
  x509ClientCertPath: {
    name: "x509-client-cert-path",
    ...pem,
    description: "PEM file with the CA certificates that sign client certificates",
  },
  enforceTls: {
    name: "enforce-tls",
    kind: "flag",
    mayTakeWord: true,
    description: "Close the plaintext ports; requires TLS",
  },
  enforceMtls: {
    name: "enforce-mtls",
    kind: "flag",
    description: "Reject clients without a certificate",
  },
  sslVerifyClient: {
    name: "ssl-verify-client",
    kind: "text",
    default: "optional",
    words: ["on", "optional", "off"],
    placeholder: "on|optional|off",
    description:
      "on is --enforce-mtls; off ignores --x509-client-cert-path and asks clients for no certificate",
  },
  clientCertAllowedNames: {
    name: "client-cert-allowed-names",
    kind: "text",
    isList: true,
    placeholder: "NAMES",
    description: "Names allowed in client certificates, comma-separated (Default: any)",
  },
  tlsMinVersion: {
    name: "tls-min-version",
    kind: "text",
    default: "1.2",
    words: ["1.2", "1.3"],
    placeholder: "1.2|1.3",
    description: "Minimum version of TLS",
  },
} as const satisfies OptionGroup;
