import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createServer, isIP } from "node:net";
import { join } from "node:path";
import { connectionsAllowed, descriptorLimit, RESERVED_DESCRIPTORS } from "../server/limits.ts";
import { type Check, type CheckResult, failed, ok, warning } from "./check.ts";

export interface PortToOpen {
  readonly option: string;
  readonly address: string;
  readonly port: number;
}

interface PortsToOpen {
  readonly ports: readonly PortToOpen[];
  /** Whether a relay with the same settings is what has them. */
  readonly isOurs: () => Promise<boolean>;
}

/** Whether the relay could listen on its ports, or does. */
export function portsCheck({ ports, isOurs }: PortsToOpen): Check {
  return {
    name: "ports",
    run: async () => {
      const problems = await Promise.all(ports.map(tryToListen));
      const inUse = problems.some((problem) => problem === "EADDRINUSE");
      const isRunning = inUse && (await isOurs());
      return ports.map((port, at) => judgePort(port, problems[at], isRunning));
    },
  };
}

function judgePort(
  { option, address, port }: PortToOpen,
  problem: string | undefined,
  isRunning: boolean,
): CheckResult {
  const shown = `--${option} ${port} of ${isIP(address) === 6 ? `[${address}]` : address}`;
  switch (problem) {
    case undefined:
      return ok(`${shown} is free`);
    case "EADDRINUSE":
      if (isRunning) return ok(`${shown}: a relay runs there with the same settings`);
      return failed(
        `${shown} is in use`,
        `end what listens there (ss -ltnp), or give --${option} another port`,
      );
    case "EACCES":
      return failed(
        `${shown} needs rights`,
        `give --${option} a port from 1024 on, or AmbientCapabilities=CAP_NET_BIND_SERVICE`,
      );
    case "EADDRNOTAVAIL":
      return failed(`${shown}: this machine has no such address`, "correct --bind-address, or leave it out");
    default:
      return failed(`${shown} can't be had (${problem})`, "correct --bind-address and the port");
  }
}

/** Undefined where it can be had. */
function tryToListen({ address, port }: PortToOpen): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.name));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Whether the process may have as many files and sockets open as its limits of connections say. */
export function descriptorsCheck(options: {
  readonly ports: number;
  readonly maxConnections: number;
}): Check {
  return {
    name: "file descriptors",
    run: async () => {
      const limit = descriptorLimit();
      const wanted = options.ports * options.maxConnections + RESERVED_DESCRIPTORS;
      const detail = `${limit} may be open, ${wanted} are wanted for --max-connections ${options.maxConnections} on ${options.ports} ports`;
      const mend = `allow more (ulimit -n ${wanted}; LimitNOFILE=${wanted} with systemd), or lower --max-connections`;
      switch (connectionsAllowed(options.maxConnections, options.ports, limit).kind) {
        case "as_wanted":
          return [ok(detail)];
        case "lowered":
          return [warning(detail, mend)];
        case "too_few":
          return [failed(detail, mend)];
      }
    },
  };
}

export interface FolderToWrite {
  readonly option: string;
  readonly path: string;
  readonly maxBytes: number;
}

/** Whether files can be kept, and have room. */
export function foldersCheck(folders: readonly FolderToWrite[]): Check {
  return {
    name: "folders",
    run: async () => (folders.length === 0 ? [ok("none is needed")] : folders.map(judgeFolder)),
  };
}

function judgeFolder({ option, path, maxBytes }: FolderToWrite): CheckResult {
  const shown = `--${option} "${path}"`;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const probe = join(path, `.doctor-${randomUUID()}`);
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    return failed(
      `${shown} can't be written (${code})`,
      `give the relay's user a folder of its own by --${option}`,
    );
  }
  const { bavail, bsize } = statfsSync(path);
  const freeMb = Math.floor((bavail * bsize) / 1024 ** 2);
  const wantedMb = Math.ceil(maxBytes / 1024 ** 2);
  const detail = `${shown} can be written, ${freeMb} MB are free`;
  return freeMb < wantedMb
    ? warning(`${detail}, up to ${wantedMb} may be used`, "make room, or lower the bound")
    : ok(detail);
}

const TIME_LIMIT_MS = 2_000;

/** Whether a relay answers on one of these ports, ready or not: the header `server` tells. */
export async function someRelayAnswers(ports: readonly PortToOpen[]): Promise<boolean> {
  const urls = ports.flatMap(({ option, address, port }) => {
    if (option === "grpc-port" || option === "grpcs-port") return [];
    const scheme = option === "https-port" ? "https" : "http";
    return `${scheme}://${reachable(address)}:${port}/v1/health`;
  });
  return (await Promise.all(urls.map(isRelay))).includes(true);
}

async function isRelay(url: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(TIME_LIMIT_MS);
    // Who answers is all that is asked: nothing of the answer is trusted.
    const response = await fetch(url, { signal, tls: { rejectUnauthorized: false } });
    await response.body?.cancel();
    return response.headers.get("server") === "statsig-forward-proxy";
  } catch {
    return false;
  }
}

function reachable(address: string): string {
  if (address === "::" || address === "0.0.0.0") return "127.0.0.1";
  return isIP(address) === 6 ? `[${address}]` : address;
}
