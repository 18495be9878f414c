import type { DropInRow } from "../support/drop-in/row.ts";

/** A command in the image. */
interface CommandRow extends DropInRow {
  readonly command: readonly string[];
  /** The user and group ID instead of the image's. */
  readonly user?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** A command that ends. `<port>` is the gRPC port of a relay. */
export interface EndingRow extends CommandRow {
  readonly exits: number;
  readonly prints: RegExp;
  /** At least, in ms. */
  readonly lastsMs?: number;
}

/** A command that runs a relay. */
export interface ServingRow extends CommandRow {
  /** A path that the relay serves over HTTP; undefined for gRPC. */
  readonly path?: string;
}

/** A property of the image. */
export interface PropertyRow extends DropInRow {
  readonly property: "stopSignal" | "healthcheck" | "volume" | "workdir" | "uid" | "ports" | "env" | "base";
  /** Contained in the property as JSON. */
  readonly has: string;
}

const PATH = "/v1/health";
const READABLE = { subject: "user of the image" };
const PROGRAMS = { subject: "programs of the image" };
const SHELL = { subject: "shell" };
const NGINX = { subject: "nginx" };

export const SERVING_ROWS: readonly ServingRow[] = [
  {
    name: "arguments",
    original: "MODE, CACHE and options as the arguments of the container",
    ours: "same",
    command: ["<entrypoint>", "http", "disabled"],
    path: "/v1/startup",
  },
  {
    name: "command: [/entrypoint.sh, …]",
    original: "starts the proxy",
    ours: "same",
    command: ["/entrypoint.sh", "http", "disabled", "--polling-interval-in-s", "1"],
    path: "/v1/ready",
  },
  {
    name: "command: [statsig_forward_proxy, …]",
    original: "starts the proxy without nginx: gRPC, and HTTP on the loopback",
    ours: { does: "the same, and HTTP as with nginx", ...NGINX },
    command: ["statsig_forward_proxy", "grpc-and-http", "disabled"],
    path: PATH,
  },
  {
    name: "command: [/usr/local/bin/statsig_forward_proxy, grpc, …]",
    original: "serves gRPC",
    ours: "same",
    command: ["/usr/local/bin/statsig_forward_proxy", "grpc", "disabled"],
  },
  {
    name: "no arguments",
    original: "fails: MODE and CACHE are missing",
    ours: { does: "runs as grpc-and-http local", subject: "container without arguments" },
    command: ["<entrypoint>"],
    path: PATH,
  },
  {
    name: "user 101",
    original: "is the user of its image, as in securityContext.runAsUser: 101",
    ours: "same",
    command: ["<entrypoint>", "http", "disabled"],
    user: 101,
    path: PATH,
  },
  {
    name: "any other user",
    original: "runs if its folders are writable",
    ours: "same",
    command: ["<entrypoint>", "http", "disabled"],
    user: 999,
    path: PATH,
  },
  {
    name: "a read-only root",
    original: "fails, unless /tmp and /dev/shm are writable for nginx",
    ours: { does: "serves, without a tmpfs", subject: "read-only root filesystem" },
    command: ["<entrypoint>", "http", "disabled"],
    path: PATH,
  },
  {
    name: "relative paths",
    original: "are in /app",
    ours: "same",
    command: [
      ...["<entrypoint>", "http", "disabled", "--enforce-tls=false"],
      ...["--x509-server-cert-path", "tls/tls.crt", "--x509-server-key-path", "tls/tls.key"],
    ],
    path: PATH,
  },
  {
    name: "a private key that only user 101 may read, as user 101",
    original: "is read",
    ours: "same",
    command: [
      ...["<entrypoint>", "http", "disabled", "--enforce-tls=false"],
      ...["--x509-server-cert-path", "/app/tls/tls.crt", "--x509-server-key-path", "/app/tls/of-101.key"],
    ],
    user: 101,
    path: PATH,
  },
];

export const ENDING_ROWS: readonly EndingRow[] = [
  {
    name: "/usr/local/bin/grpc-health-probe -addr=:50051",
    original: "the exec probe of its docs: exit code 0 while serving",
    ours: "same",
    command: ["/usr/local/bin/grpc-health-probe", "-addr=:<port>"],
    exits: 0,
    prints: /^status: SERVING$/,
  },
  {
    name: "grpc-health-probe by its name only",
    original: "is in PATH",
    ours: "same",
    command: ["grpc-health-probe", "-addr", "localhost:<port>"],
    exits: 0,
    prints: /^status: SERVING$/,
  },
  {
    name: "a preStop hook sh -c 'sleep N'",
    original: "the hook in the values of its chart: waits for N seconds",
    ours: "same",
    command: ["sh", "-c", "sleep 1"],
    lastsMs: 1_000,
    exits: 0,
    prints: /^$/,
  },
  {
    name: "a preStop hook sleep N",
    original: "waits for N seconds",
    ours: "same",
    command: ["sleep", "1"],
    lastsMs: 1_000,
    exits: 0,
    prints: /^$/,
  },
  {
    name: "a preStop hook /bin/sh -c 'sleep N'",
    original: "waits for N seconds",
    ours: { does: "fails: there is no /bin/sh", ...SHELL },
    command: ["/bin/sh", "-c", "sleep 1"],
    exits: 127,
    prints: /No such file or directory/,
  },
  {
    name: "any other script",
    original: "runs it in the shell of Alpine",
    ours: { does: "exit code 127, and says why", ...SHELL },
    command: ["sh", "-c", "nginx -s quit; sleep 5"],
    exits: 127,
    prints: /^sh: this image has no shell/,
  },
  ...["nginx", "wget", "curl", "cat"].map(
    (program): EndingRow => ({
      name: program,
      original: "is in the image",
      ours: { does: "is not", ...PROGRAMS },
      command: [program, "--version"],
      exits: 127,
      prints: /No such file or directory/,
    }),
  ),
  {
    name: "a private key that only user 101 may read",
    original: "is read",
    ours: { does: "fails the start and names the file", ...READABLE },
    command: [
      ...["<entrypoint>", "http", "disabled"],
      ...["--x509-server-cert-path", "tls/tls.crt", "--x509-server-key-path", "tls/of-101.key"],
    ],
    exits: 1,
    prints: /tls\/of-101\.key.*permission denied/,
  },
];

export const PROPERTY_ROWS: readonly PropertyRow[] = [
  { name: "WORKDIR", original: "/app", ours: "same", property: "workdir", has: '"/app"' },
  { name: "EXPOSE 8000", original: "HTTP", ours: "same", property: "ports", has: "8000" },
  { name: "EXPOSE 8443", original: "HTTPS", ours: "same", property: "ports", has: "8443" },
  {
    name: "port 8001",
    original: "Rocket, on the loopback",
    ours: { does: "the management port, on every address", subject: "port 8001" },
    property: "ports",
    has: "8001",
  },
  {
    name: "USER",
    original: "101, of nginx-unprivileged",
    ours: { does: "65532, of distroless", ...READABLE },
    property: "uid",
    has: "65532",
  },
  {
    name: "base image",
    original: "nginx on Alpine",
    ours: { does: "distroless, without programs", ...PROGRAMS },
    property: "base",
    has: "gcr.io/distroless/",
  },
  {
    name: "STOPSIGNAL",
    original: "SIGQUIT, of nginx",
    ours: { does: "SIGTERM, and a graceful stop", subject: "stop signal of the image" },
    property: "stopSignal",
    has: "SIGTERM",
  },
  {
    name: "HEALTHCHECK",
    original: "none",
    ours: { does: "the relay's health check", subject: "`HEALTHCHECK`" },
    property: "healthcheck",
    has: "healthcheck",
  },
  {
    name: "VOLUME",
    original: "none",
    ours: { does: "one for the local cache", subject: "container without arguments" },
    property: "volume",
    has: "/var/lib/statsig-forward-proxy",
  },
  {
    name: "variables of the image",
    original: "ROCKET_ENV",
    ours: { does: "MODE, CACHE and the folder of the cache", subject: "container without arguments" },
    property: "env",
    has: '"SFP_MODE":"grpc-and-http","SFP_CACHE":"local"',
  },
];
