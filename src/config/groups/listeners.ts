import { readFileSync } from "node:fs";
import { describeErrno } from "../../platform/errors.ts";
import { type Mode, type OptionGroup, PORT } from "../option.ts";
import { ConfigError, type Environment, invalidValue, type Settings } from "../settings.ts";
import { readAddress } from "./ports.ts";
import { TLS, type TlsConfig } from "./tls.ts";

type ListenerProtocol = "http" | "https" | "grpc" | "grpcs";

/** A port that serves clients. */
export interface ListenerConfig {
  readonly protocol: ListenerProtocol;
  /** The option that sets the port, for errors. */
  readonly option: string;
  readonly bindAddress: string;
  /** 0 means any free port. */
  readonly port: number;
}

interface ManagementAddress {
  readonly bindAddress: string;
  /** The option that sets the address, for errors. */
  readonly addressOption: string;
  readonly port: number;
}

/** The port of probes, metrics, the status page and the operator API. */
export interface ManagementConfig extends ManagementAddress {
  /** What requests to the operator API must carry; undefined if it is turned off. */
  readonly token: string | undefined;
  /** Whether the port takes profiles. */
  readonly debugEndpoints: boolean;
}

/** Returns the ports that follow from the mode and from TLS, in the order in which they are opened. */
export function readListeners(
  settings: Settings,
  mode: Mode,
  tls: TlsConfig | undefined,
): readonly ListenerConfig[] {
  const bindAddress = readAddress(settings, LISTENERS.bindAddress);
  // Both are read in every mode, so that an invalid value is always an error.
  const [httpPort, grpcPort] = [settings.integer(LISTENERS.httpPort), settings.integer(LISTENERS.grpcPort)];
  const isPlaintext = tls === undefined || tls.plaintextToo;
  const listeners: ListenerConfig[] = [];
  const add = (protocol: ListenerProtocol, option: { readonly name: string }, port: number) => {
    listeners.push({ protocol, option: option.name, bindAddress, port });
  };
  if (mode !== "grpc" && isPlaintext) add("http", LISTENERS.httpPort, httpPort);
  if (mode !== "grpc" && tls !== undefined) add("https", TLS.httpsPort, tls.httpsPort);
  if (mode !== "http" && isPlaintext) add("grpc", LISTENERS.grpcPort, grpcPort);
  if (mode !== "http" && tls !== undefined) add("grpcs", TLS.grpcsPort, tls.grpcsPort);
  return listeners;
}

/** Returns undefined if the management port is turned off. Throws ConfigError. */
export function readManagement(settings: Settings, env: Environment): ManagementConfig | undefined {
  const address = readManagementAddress(settings);
  const token = readManagementToken(env);
  const debugEndpoints = settings.flag(LISTENERS.debugEndpoints);
  return address && { ...address, token, debugEndpoints };
}

/** Returns undefined if the management port is turned off. Throws ConfigError. */
export function readManagementAddress(settings: Settings): ManagementAddress | undefined {
  const port = settings.integer(LISTENERS.managementPort);
  const own = readAddress(settings, LISTENERS.managementAddress);
  const bindAddress = own || settings.text(LISTENERS.bindAddress);
  const addressOption = own === "" ? LISTENERS.bindAddress.name : LISTENERS.managementAddress.name;
  return port === 0 ? undefined : { bindAddress, addressOption, port };
}

export const MANAGEMENT_TOKEN = "SFP_MANAGEMENT_TOKEN";

/** A token that can be guessed is as good as none. */
const MIN_TOKEN_CHARS = 16;

/** Returns undefined if the variable is not set. Never quotes the token. Throws ConfigError. */
export function readManagementToken(env: Environment): string | undefined {
  const given = env[MANAGEMENT_TOKEN]?.trim() ?? "";
  if (given === "") return undefined;
  const token = given.startsWith("@") ? readTokenFile(given.slice(1)) : given;
  if (token.length >= MIN_TOKEN_CHARS && /^[!-~]+$/.test(token)) return token;
  throw new ConfigError(
    `invalid ${MANAGEMENT_TOKEN} (expected at least ${MIN_TOKEN_CHARS} visible ASCII characters, or @FILE with them)`,
  );
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new ConfigError(`${MANAGEMENT_TOKEN}: cannot read "${path}": ${describeErrno(error)}`);
  }
}

/**
 * The threads that serve clients, of each of two kinds: those of the HTTP port, and those of all other client ports. `auto` is the
 * number of available CPUs, within limits.
 */
export type ServingThreadsSetting = number | "auto";

const MAX_THREADS = 64;
const MAX_AUTO_THREADS = 16;

/** Throws ConfigError. */
export function readServingThreads(settings: Settings): ServingThreadsSetting {
  const text = settings.text(LISTENERS.servingThreads);
  if (text === "auto") return text;
  const threads = /^[1-9]\d?$/.test(text) ? Number(text) : Number.NaN;
  if (threads <= MAX_THREADS) return threads;
  const shown = settings.shown(LISTENERS.servingThreads);
  throw invalidValue(shown, text, `auto or a whole number from 1 to ${MAX_THREADS}`);
}

/** The kind of the threads that serve a port. */
export function threadKindOf(protocol: ListenerProtocol): "http" | "http2" {
  return protocol === "http" ? "http" : "http2";
}

/** Returns the number of threads of each kind on a machine with this many available CPUs. */
export function countServingThreads(
  threads: ServingThreadsSetting,
  cores: number,
  platform: NodeJS.Platform = process.platform,
): number {
  if (threads !== "auto") return threads;
  // Other systems do not spread connections over the threads that share a port.
  return platform === "linux" ? Math.min(cores, MAX_AUTO_THREADS) : 1;
}

/** Returns the number of threads that serve these ports, of both kinds. */
export function countAllThreads(
  listeners: readonly ListenerConfig[],
  threads: ServingThreadsSetting,
  cores: number,
): number {
  const kinds = new Set(listeners.map(({ protocol }) => threadKindOf(protocol)));
  return kinds.size * countServingThreads(threads, cores);
}

/** The options of ports, in the order of `--help`. */
export const LISTENERS = {
  bindAddress: {
    name: "bind-address",
    kind: "text",
    default: "::",
    placeholder: "ADDRESS",
    description: "Address to listen on; :: means every IPv6 and IPv4 address",
  },
  httpPort: { name: "http-port", ...PORT, default: "8000", description: "HTTP port; 0 picks a free one" },
  grpcPort: { name: "grpc-port", ...PORT, default: "50051", description: "gRPC port; 0 picks a free one" },
  servingThreads: {
    name: "serving-threads",
    kind: "text",
    default: "auto",
    placeholder: "auto|N",
    description:
      "Threads that serve the HTTP port, 1 to 64, and as many again for the other client ports; auto: one per available CPU, at most 16",
  },
  shutdownDelayInS: {
    name: "shutdown-delay-in-s",
    kind: "integer",
    default: "0",
    min: 0,
    max: 3_600,
    placeholder: "SECONDS",
    isReloadable: true,
    description: "Time after SIGTERM in which the relay reports not ready and still serves, in seconds",
  },
  shutdownGraceInS: {
    name: "shutdown-grace-in-s",
    kind: "integer",
    default: "10",
    min: 0,
    max: 3_600,
    placeholder: "SECONDS",
    isReloadable: true,
    description: "Grace period for requests in flight after SIGTERM and --shutdown-delay-in-s, in seconds",
  },
  managementPort: {
    name: "management-port",
    ...PORT,
    default: "8001",
    description: "Port of probes, metrics and the status page; 0 disables it",
  },
  managementAddress: {
    name: "management-address",
    kind: "text",
    placeholder: "ADDRESS",
    description: "Address of the management port (Default: --bind-address)",
  },
  debugEndpoints: {
    name: "debug-endpoints",
    kind: "flag",
    isReloadable: true,
    description: "Take CPU and heap profiles at POST /debug/profile and /debug/heap of the management port",
  },
} as const satisfies OptionGroup;

/**
 * Returns the host at which this machine reaches a listener. One on every address is reached at the IPv4 loopback address, which
 * exists even if IPv6 is disabled.
 */
export function toLocalHost(bindAddress: string): string {
  if (bindAddress === "::" || bindAddress === "0.0.0.0") return "127.0.0.1";
  return bindAddress.includes(":") ? `[${bindAddress}]` : bindAddress;
}
