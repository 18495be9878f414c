import { createServer, isIP } from "node:net";
import { type Check, type Finding, failed, ok } from "./check.ts";

export interface PortToOpen {
  readonly option: string;
  readonly address: string;
  readonly port: number;
}

export interface PortsToOpen {
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
      return ports.map((port, at) => judge(port, problems[at], isRunning));
    },
  };
}

function judge(
  { option, address, port }: PortToOpen,
  problem: string | undefined,
  isRunning: boolean,
): Finding {
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
