import { MAX_TIMER_MS, UNIT_MS } from "../platform/clock.ts";

/** What the command line of `grpc-health-probe` asks for. */
export interface ProbeFlags {
  /** As it was given, for messages. */
  readonly addr: string;
  /** `http` or `https`, host and port. */
  readonly baseUrl: string;
  /** Empty for the server as a whole. */
  readonly service: string;
  readonly connectTimeout: GoDuration;
  readonly rpcTimeout: GoDuration;
  /** Request headers, with `user-agent`. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly isGzipped: boolean;
  readonly isVerbose: boolean;
  readonly tls: ProbeTls | undefined;
}

/** Paths and names are undefined if they were not given. */
export interface ProbeTls {
  readonly isVerified: boolean;
  readonly caPath: string | undefined;
  readonly certPath: string | undefined;
  readonly keyPath: string | undefined;
  readonly serverName: string | undefined;
}

interface GoDuration {
  readonly ms: number;
  /** As it was given. */
  readonly text: string;
}

/** The command line is invalid. The message is one line. */
export class ProbeFlagError extends Error {}

type Kind = "text" | "texts" | "duration" | "boolean";

/** The flags of `grpc_health_probe` 0.4 that mean something for this server, with their defaults. */
const FLAGS: Readonly<Record<string, readonly [kind: Kind, otherwise: string]>> = {
  addr: ["text", ""],
  service: ["text", ""],
  "user-agent": ["text", "grpc_health_probe"],
  "connect-timeout": ["duration", "1s"],
  "rpc-timeout": ["duration", "1s"],
  "rpc-header": ["texts", ""],
  gzip: ["boolean", "false"],
  tls: ["boolean", "false"],
  "tls-no-verify": ["boolean", "false"],
  "tls-ca-cert": ["text", ""],
  "tls-client-cert": ["text", ""],
  "tls-client-key": ["text", ""],
  "tls-server-name": ["text", ""],
  v: ["boolean", "false"],
  version: ["boolean", "false"],
};

/** Flags of the original that need an infrastructure of their own. */
const UNSUPPORTED = ["alts", "spiffe"];

/** Parses flags as Go does: one dash or two, `-flag value` or `-flag=value`. Throws {@link ProbeFlagError}. */
export function parseProbeFlags(argv: readonly string[]): ProbeFlags | "version" {
  const given = splitFlags(argv);
  const textOf = (name: string) => given.get(name)?.at(-1) ?? FLAGS[name]?.[1] ?? "";
  const isSet = (name: string) => parseGoBoolean(name, textOf(name));
  if (isSet("version")) return "version";
  const addr = textOf("addr");
  if (addr === "") throw new ProbeFlagError("-addr not specified");
  const connectTimeout = parseGoDuration("connect-timeout", textOf("connect-timeout"));
  const rpcTimeout = parseGoDuration("rpc-timeout", textOf("rpc-timeout"));
  const usesTls = isSet("tls");
  const isVerified = !isSet("tls-no-verify");
  checkTlsFlags(textOf, usesTls, isVerified);
  const pathOf = (name: string) => textOf(name) || undefined;
  return {
    addr,
    baseUrl: `${usesTls ? "https" : "http"}://${parseHost(addr)}`,
    service: textOf("service"),
    connectTimeout,
    rpcTimeout,
    headers: [["user-agent", textOf("user-agent")], ...(given.get("rpc-header") ?? []).map(parseHeader)],
    isGzipped: isSet("gzip"),
    isVerbose: isSet("v"),
    tls: usesTls
      ? {
          isVerified,
          caPath: pathOf("tls-ca-cert"),
          certPath: pathOf("tls-client-cert"),
          keyPath: pathOf("tls-client-key"),
          serverName: pathOf("tls-server-name"),
        }
      : undefined,
  };
}

/** Returns the values of each given flag, in their order. Like Go, ignores everything from the first word that is not a flag. */
function splitFlags(argv: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const given = new Map<string, string[]>();
  const rest = [...argv];
  for (let word = rest.shift(); word?.startsWith("-") && word !== "-" && word !== "--"; word = rest.shift()) {
    const [, name = "", attached] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    const kind = FLAGS[name]?.[0];
    if (kind === undefined) throw unknownFlag(name);
    const value = attached ?? (kind === "boolean" ? "true" : rest.shift());
    if (value === undefined) throw new ProbeFlagError(`flag needs an argument: -${name}`);
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  return given;
}

function unknownFlag(name: string): ProbeFlagError {
  const known = Object.keys(FLAGS).map((flag) => `-${flag}`);
  return UNSUPPORTED.includes(name)
    ? new ProbeFlagError(`-${name} is not supported by the probe of this image`)
    : new ProbeFlagError(`flag provided but not defined: -${name} (defined are ${known.join(", ")})`);
}

function checkTlsFlags(textOf: (name: string) => string, usesTls: boolean, isVerified: boolean): void {
  const isGiven = (name: string) => textOf(name) !== "";
  if (!(usesTls || isVerified)) throw without("tls-no-verify", "tls");
  for (const name of ["tls-ca-cert", "tls-client-cert", "tls-server-name"]) {
    if (!usesTls && isGiven(name)) throw without(name, "tls");
  }
  if (isGiven("tls-client-cert") && !isGiven("tls-client-key")) {
    throw without("tls-client-cert", "tls-client-key");
  }
  if (isGiven("tls-client-key") && !isGiven("tls-client-cert")) {
    throw without("tls-client-key", "tls-client-cert");
  }
  for (const name of ["tls-ca-cert", "tls-server-name"]) {
    if (!isVerified && isGiven(name)) {
      throw new ProbeFlagError(`cannot specify -${name} with -tls-no-verify, which ignores it`);
    }
  }
}

const without = (name: string, needed: string) =>
  new ProbeFlagError(`specified -${name} without specifying -${needed}`);

/** Returns host and port of `:50051`, `host:50051`, `[::1]:50051` or one of these after `dns:///`. */
function parseHost(addr: string): string {
  const [, host = "", port = ""] = /^(?:(?:dns|passthrough):\/\/\/)?(.*):(\d{1,5})$/.exec(addr) ?? [];
  const shown = `${host || "localhost"}:${port}`;
  if (port === "" || !URL.canParse(`http://${shown}`) || new URL(`http://${shown}`).pathname !== "/") {
    throw new ProbeFlagError(`invalid value "${addr}" for -addr (expected host:port, such as :50051)`);
  }
  return shown;
}

function parseHeader(text: string): readonly [name: string, value: string] {
  const [, name, value = ""] = /^([\w.-]+):(.*)$/s.exec(text) ?? [];
  if (name === undefined) {
    throw new ProbeFlagError(`invalid value "${text}" for flag -rpc-header (expected name:value)`);
  }
  return [name, value.trim()];
}

function parseGoBoolean(name: string, text: string): boolean {
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw new ProbeFlagError(`invalid boolean value "${text}" for -${name} (expected true or false)`);
}

/** Parses `500ms`, `1.5s` or `1m30s`, as Go does. */
function parseGoDuration(name: string, text: string): GoDuration {
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+$/.test(text)) {
    throw new ProbeFlagError(
      `invalid value "${text}" for flag -${name} (expected a duration, such as 500ms)`,
    );
  }
  const parts = text.matchAll(/([\d.]+)([a-zµ]+)/g);
  const ms = Array.from(parts, ([, count, unit = ""]) => Number(count) * (UNIT_MS[unit] ?? 0));
  const sum = ms.reduce((all, each) => all + each, 0);
  if (sum === 0) throw new ProbeFlagError(`-${name} must be greater than zero (specified: ${text})`);
  return { ms: Math.min(Math.ceil(sum), MAX_TIMER_MS), text };
}
