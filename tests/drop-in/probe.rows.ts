import type { DropInRow } from "../support/drop-in/row.ts";

/** A command line of `grpc-health-probe`, which the original's image contains. */
export interface ProbeRow extends DropInRow {
  /** The server at `<port>`. */
  readonly server: "relay" | "relay-tls" | "relay-mtls" | "unhealthy" | "unimplemented" | "silent" | "none";
  /** `<port>`, `<ca>`, `<cert>`, `<key>` and `<no-file>` are replaced. */
  readonly args: readonly string[];
  readonly exits: 0 | 1 | 2 | 3 | 4;
  readonly prints: RegExp;
}

const HEALTHY = { exits: 0, prints: /^status: SERVING$/, ours: "same" } as const;
const INVALID = { server: "none", exits: 1, ours: "same" } as const;

const serving: readonly ProbeRow[] = [
  {
    name: "-addr=:<port>",
    original: "the probe of its docs: exit code 0 and the status",
    server: "relay",
    args: ["-addr=:<port>"],
    ...HEALTHY,
  },
  {
    name: "-addr :<port>",
    original: "takes a value as the next word",
    server: "relay",
    args: ["-addr", ":<port>"],
    ...HEALTHY,
  },
  {
    name: "--addr=localhost:<port>",
    original: "takes two dashes, and a host",
    server: "relay",
    args: ["--addr=localhost:<port>"],
    ...HEALTHY,
  },
  {
    name: "-addr=dns:///localhost:<port>",
    original: "takes the names of gRPC",
    server: "relay",
    args: ["-addr=dns:///localhost:<port>"],
    ...HEALTHY,
  },
  {
    name: "timeouts",
    original: "takes Go durations",
    server: "relay",
    args: ["-addr=:<port>", "-connect-timeout=1m30s", "-rpc-timeout", "2500ms"],
    ...HEALTHY,
  },
  {
    name: "-service= -user-agent -rpc-header -gzip",
    original: "sends them",
    server: "relay",
    args: ["-addr=:<port>", "-service=", "-user-agent=kubelet", "-rpc-header=team: platform", "-gzip"],
    ...HEALTHY,
  },
  {
    name: "-v",
    original: "prints the connection as well",
    server: "relay",
    args: ["-v", "-addr=:<port>"],
    exits: 0,
    prints: /^connection established .*\nstatus: SERVING$/,
    ours: "same",
  },
  {
    name: "-version",
    original: "prints its version: exit code 0",
    server: "none",
    args: ["-version"],
    exits: 0,
    prints: /^grpc-health-probe .*\d/,
    ours: "same",
  },
];

const secure: readonly ProbeRow[] = [
  {
    name: "-tls -tls-ca-cert",
    original: "verifies the certificate with this authority",
    server: "relay-tls",
    args: ["-addr=localhost:<port>", "-tls", "-tls-ca-cert=<ca>"],
    ...HEALTHY,
  },
  {
    name: "-tls with an unknown authority",
    original: "exit code 2",
    server: "relay-tls",
    args: ["-addr=localhost:<port>", "-tls", "-connect-timeout=500ms"],
    exits: 2,
    prints: /^timeout: failed to connect service "localhost:\d+" within 500ms: .*/,
    ours: "same",
  },
  {
    name: "-tls -tls-no-verify",
    original: "takes any certificate",
    server: "relay-tls",
    args: ["-addr=:<port>", "-tls=true", "-tls-no-verify"],
    ...HEALTHY,
  },
  {
    name: "-tls-server-name of the certificate",
    original: "verifies this name instead of the host's",
    server: "relay-tls",
    args: ["-addr=127.0.0.1:<port>", "-tls", "-tls-ca-cert=<ca>", "-tls-server-name=localhost"],
    ...HEALTHY,
  },
  {
    name: "-tls-server-name of another server",
    original: "exit code 2",
    server: "relay-tls",
    args: [
      ...["-addr=127.0.0.1:<port>", "-tls", "-tls-ca-cert=<ca>", "-tls-server-name=other.example"],
      ...["-connect-timeout=500ms"],
    ],
    exits: 2,
    prints: /^timeout: failed to connect service /,
    ours: "same",
  },
  {
    name: "-tls-client-cert -tls-client-key",
    original: "presents a client certificate, for --enforce-mtls",
    server: "relay-mtls",
    args: [
      ...["-addr=localhost:<port>", "-tls", "-tls-ca-cert", "<ca>"],
      ...["-tls-client-cert", "<cert>", "-tls-client-key", "<key>"],
    ],
    ...HEALTHY,
  },
  {
    name: "no client certificate, with --enforce-mtls",
    original: "exit code 2",
    server: "relay-mtls",
    args: ["-addr=localhost:<port>", "-tls", "-tls-ca-cert", "<ca>"],
    exits: 2,
    prints: /^error: failed to connect service at "localhost:\d+": .*CERTIFICATE_REQUIRED/,
    ours: "same",
  },
];

const failing: readonly ProbeRow[] = [
  {
    name: "-tls on a plaintext port",
    original: "exit code 2",
    server: "relay",
    args: ["-addr=:<port>", "-tls", "-tls-no-verify", "-connect-timeout=300ms"],
    exits: 2,
    prints: /^timeout: failed to connect service ":\d+" within 300ms: /,
    ours: "same",
  },
  {
    name: "a TLS port without -tls",
    original: "exit code 2",
    server: "relay-tls",
    args: ["-addr=:<port>"],
    exits: 2,
    prints: /^error: failed to connect service at ":\d+": /,
    ours: "same",
  },
  {
    name: "nothing listens",
    original: "exit code 2 after -connect-timeout",
    server: "none",
    args: ["-addr=:<port>", "-connect-timeout=200ms"],
    exits: 2,
    prints: /^timeout: failed to connect service ":\d+" within 200ms: connection refused$/,
    ours: "same",
  },
  {
    name: "no answer",
    original: "exit code 3 after -rpc-timeout",
    server: "silent",
    args: ["-addr=:<port>", "-rpc-timeout=200ms"],
    exits: 3,
    prints: /^timeout: health rpc did not complete within 200ms$/,
    ours: "same",
  },
  {
    name: "a server without the health service",
    original: "exit code 3",
    server: "unimplemented",
    args: ["-addr=:<port>"],
    exits: 3,
    prints: /^error: this server does not implement the grpc health protocol \(grpc\.health\.v1\.Health\)/,
    ours: "same",
  },
  {
    name: "NOT_SERVING",
    original: "exit code 4",
    server: "unhealthy",
    args: ["-addr=:<port>"],
    exits: 4,
    prints: /^service unhealthy \(responded with "NOT_SERVING"\)$/,
    ours: "same",
  },
];

const invalid: readonly ProbeRow[] = [
  { name: "no -addr", original: "exit code 1", args: [], prints: /^error: -addr not specified$/, ...INVALID },
  {
    name: "an unknown flag",
    original: "exit code 1",
    args: ["-addr=:1", "-address=:1"],
    prints: /flag provided but not defined: -address/,
    ...INVALID,
  },
  {
    name: "a flag without its value",
    original: "exit code 1",
    args: ["-addr"],
    prints: /flag needs an argument: -addr/,
    ...INVALID,
  },
  {
    name: "a timeout without a unit",
    original: "exit code 1",
    args: ["-addr=:1", "-connect-timeout=1"],
    prints: /invalid value "1" for flag -connect-timeout/,
    ...INVALID,
  },
  {
    name: "a timeout of 0",
    original: "exit code 1",
    args: ["-addr=:1", "-rpc-timeout=0s"],
    prints: /^error: -rpc-timeout must be greater than zero \(specified: 0s\)$/,
    ...INVALID,
  },
  {
    name: "a TLS flag without -tls",
    original: "exit code 1",
    args: ["-addr=:1", "-tls-ca-cert=<ca>"],
    prints: /^error: specified -tls-ca-cert without specifying -tls$/,
    ...INVALID,
  },
  {
    name: "a client certificate without its key",
    original: "exit code 1",
    args: ["-addr=:1", "-tls", "-tls-client-cert=<cert>"],
    prints: /^error: specified -tls-client-cert without specifying -tls-client-key$/,
    ...INVALID,
  },
  {
    name: "-tls-ca-cert with -tls-no-verify",
    original: "exit code 1",
    args: ["-addr=:1", "-tls", "-tls-no-verify", "-tls-ca-cert=<ca>"],
    prints: /^error: cannot specify -tls-ca-cert with -tls-no-verify/,
    ...INVALID,
  },
  {
    name: "an authority's file that does not exist",
    original: "exit code 1",
    args: ["-addr=:1", "-tls", "-tls-ca-cert=<no-file>"],
    prints: /^error: cannot read -tls-ca-cert ".*": no such file or directory$/,
    ...INVALID,
  },
  ...["-alts", "-spiffe"].map(
    (flag): ProbeRow => ({
      name: flag,
      original: "uses the identity of Google Cloud or SPIFFE",
      ours: { does: "exit code 1", subject: "`grpc-health-probe`" },
      server: "none",
      args: ["-addr=:1", flag],
      exits: 1,
      prints: new RegExp(`^error: ${flag} is not supported`),
    }),
  ),
  {
    name: "-addr=unix:/path",
    original: "connects to a Unix socket",
    ours: { does: "exit code 1", subject: "`grpc-health-probe`" },
    server: "none",
    args: ["-addr=unix:/run/relay.sock"],
    exits: 1,
    prints: /^error: invalid value "unix:\/run\/relay\.sock" for -addr \(expected host:port/,
  },
];

export const PROBE_ROWS: readonly ProbeRow[] = [...serving, ...secure, ...failing, ...invalid];
