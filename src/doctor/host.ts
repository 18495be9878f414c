import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createServer, isIP } from "node:net";
import { join } from "node:path";
import { sendRequest } from "#runtime/requests.ts";
import { countServingThreads, type ServingThreadsSetting, toLocalHost } from "../config/groups/listeners.ts";
import { availableCores } from "../platform/cores.ts";
import { descriptorLimit } from "../platform/libc.ts";
import { connectionsAllowed, reservedDescriptors } from "../server/limits.ts";
import { type Check, type CheckResult, failed, ok, warning } from "./check.ts";

export interface PortToOpen {
  readonly option: string;
  readonly address: string;
  readonly port: number;
}

interface PortsToOpen {
  readonly ports: readonly PortToOpen[];
  /** Returns whether a relay with the same settings uses the ports. */
  readonly isRelayRunning: () => Promise<boolean>;
}

/** Checks whether the ports are free, or used by the relay itself. */
export function portsCheck({ ports, isRelayRunning }: PortsToOpen): Check {
  return {
    name: "ports",
    run: async () => {
      // Two options with one port would find each other, or the relay that runs with other options.
      const same = ports.flatMap((port, at) => findSamePort(port, ports.slice(0, at)) ?? []);
      if (same.length > 0) return same;
      const problems = await Promise.all(ports.map(tryToListen));
      const inUse = problems.some((problem) => problem === "EADDRINUSE");
      const isRunning = inUse && (await isRelayRunning());
      return ports.map((port, at) => toPortResult(port, problems[at], isRunning));
    },
  };
}

/** Addresses that stand for all addresses of this machine. */
const ANY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

function findSamePort(port: PortToOpen, others: readonly PortToOpen[]): CheckResult | undefined {
  const overlaps = (a: string, b: string) => a === b || ANY_ADDRESS.has(a) || ANY_ADDRESS.has(b);
  const other = others.find((each) => each.port === port.port && overlaps(each.address, port.address));
  if (other === undefined || port.port === 0) return undefined;
  return failed(
    `--${other.option} and --${port.option} have the same port, ${port.port}`,
    `set --${port.option} to another port`,
  );
}

function toPortResult(
  { option, address, port }: PortToOpen,
  problem: string | undefined,
  isRunning: boolean,
): CheckResult {
  const shown = `--${option} ${port} of ${isIP(address) === 6 ? `[${address}]` : address}`;
  switch (problem) {
    case undefined:
      return ok(`${shown} is free`);
    case "EADDRINUSE":
      if (isRunning) return ok(`${shown} is used by a relay with the same settings`);
      return failed(
        `${shown} is in use`,
        `stop the process that uses it (ss -ltnp), or set --${option} to another port`,
      );
    case "EACCES":
      return failed(
        `${shown} requires privileges`,
        `set --${option} to a port above 1023, or add AmbientCapabilities=CAP_NET_BIND_SERVICE to the systemd unit`,
      );
    case "EADDRNOTAVAIL":
    // From Deno.
    case "EINVAL":
      return failed(`${shown}: this machine has no such address`, "correct or remove --bind-address");
    default:
      return failed(`${shown} cannot be opened (${problem})`, "correct --bind-address and the port");
  }
}

/** Resolves with undefined if the port can be opened, else with the error code. */
function tryToListen({ address, port }: PortToOpen): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.name));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Checks whether the process may open enough file descriptors for its maximum number of connections. */
export function descriptorsCheck(options: {
  readonly ports: number;
  readonly maxConnections: number;
  /** The number of serving threads. */
  readonly threads: number;
}): Check {
  return {
    name: "file descriptors",
    run: async () => {
      const limit = descriptorLimit();
      const wanted = options.ports * options.maxConnections + reservedDescriptors(options.threads);
      const detail = `${limit} are allowed, ${wanted} are needed for --max-connections ${options.maxConnections} on ${options.ports} ports`;
      const fix = `raise the limit (ulimit -n ${wanted}; LimitNOFILE=${wanted} with systemd), or lower --max-connections`;
      switch (connectionsAllowed(options, limit).kind) {
        case "as_wanted":
          return [ok(detail)];
        case "lowered":
          return [warning(detail, fix)];
        case "too_few":
          return [failed(detail, fix)];
      }
    },
  };
}

/** Checks whether each serving thread of a kind can have a CPU. */
export function coresCheck(servingThreads: ServingThreadsSetting): Check {
  return {
    name: "CPUs",
    run: async () => {
      const cores = availableCores();
      const threads = countServingThreads(servingThreads, cores);
      const detail = `${cores} available, --serving-threads ${servingThreads} starts ${threads} of each kind`;
      const fix = "set --serving-threads to auto, or raise the CPU limit of the container or service";
      return [threads > cores ? warning(detail, fix) : ok(detail)];
    },
  };
}

export interface FolderToWrite {
  readonly option: string;
  readonly path: string;
  readonly maxBytes: number;
}

/** Checks whether the folders are writable and have enough free space. */
export function foldersCheck(folders: readonly FolderToWrite[]): Check {
  return {
    name: "folders",
    run: async () => (folders.length === 0 ? [ok("not needed")] : folders.map(checkFolder)),
  };
}

function checkFolder({ option, path, maxBytes }: FolderToWrite): CheckResult {
  const shown = `--${option} "${path}"`;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const probe = join(path, `.doctor-${randomUUID()}`);
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    return failed(
      `${shown} is not writable (${code})`,
      `set --${option} to a folder that belongs to the user of the relay`,
    );
  }
  const { bavail, bsize } = statfsSync(path);
  const freeMb = Math.floor((bavail * bsize) / 1024 ** 2);
  const wantedMb = Math.ceil(maxBytes / 1024 ** 2);
  const detail = `${shown} is writable, ${freeMb} MB are free`;
  return freeMb < wantedMb
    ? warning(`${detail}, up to ${wantedMb} MB may be used`, "free disk space, or lower the maximum size")
    : ok(detail);
}

const TIME_LIMIT_MS = 2_000;

/** Returns whether any relay, ready or not, responds on one of these ports, as its `server` header shows. */
export async function isAnyRelay(ports: readonly PortToOpen[]): Promise<boolean> {
  const urls = ports.flatMap(({ option, address, port }) => {
    if (option === "grpc-port" || option === "grpcs-port") return [];
    const scheme = option === "https-port" ? "https" : "http";
    return `${scheme}://${toLocalHost(address)}:${port}/v1/health`;
  });
  return (await Promise.all(urls.map(isRelay))).includes(true);
}

async function isRelay(url: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(TIME_LIMIT_MS);
    // The certificate need not be verified, since nothing in the response is trusted.
    const response = await sendRequest(url, { signal, tls: { rejectUnauthorized: false } });
    await response.body?.cancel();
    return response.headers.get("server") === "statsig-forward-proxy";
  } catch {
    return false;
  }
}
