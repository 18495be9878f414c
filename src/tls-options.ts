import type { OptionSpec } from "./option-spec.ts";

const port = { kind: "integer", min: 0, max: 65_535, placeholder: "PORT" } as const;
const pem = { kind: "text", placeholder: "FILE" } as const;

/** The options of TLS, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const TLS_OPTIONS = [
  { name: "https-port", ...port, default: "8443", description: "HTTPS port; 0 for any free one" },
  { name: "grpcs-port", ...port, default: "50052", description: "gRPC port with TLS; 0 for any free one" },
  {
    name: "x509-server-cert-path",
    ...pem,
    description: "PEM file of the server's certificate and its chain: turns TLS on",
  },
  { name: "x509-server-key-path", ...pem, description: "PEM file of its private key" },
  {
    name: "x509-client-cert-path",
    ...pem,
    description: "PEM file of the authorities that clients' certificates come from",
  },
  {
    name: "enforce-tls",
    kind: "text",
    words: ["true", "false"],
    placeholder: "true|false",
    description: "With a certificate, whether the ports without TLS stay closed (Default: true)",
  },
  { name: "enforce-mtls", kind: "flag", description: "Serve only clients that have a certificate" },
  {
    name: "client-cert-allowed-names",
    kind: "text",
    isList: true,
    placeholder: "NAMES",
    description: "Names of clients' certificates that are served (Default: all that the authorities know)",
  },
  {
    name: "tls-min-version",
    kind: "text",
    default: "1.2",
    words: ["1.2", "1.3"],
    placeholder: "1.2|1.3",
    description: "The oldest version of TLS that is spoken",
  },
] as const satisfies readonly OptionSpec[];
