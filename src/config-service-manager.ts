import { maxSocketPathBytes } from "./libc/systems.ts";
import type { ServiceManagerConfig } from "./service-manager.ts";
import { ConfigError, type Environment } from "./settings.ts";

/** From the variables that sd_notify(3) names; undefined where nobody wants to hear. Throws {@link ConfigError}. */
export function readServiceManager(env: Environment, pid = process.pid): ServiceManagerConfig | undefined {
  const socket = env["NOTIFY_SOCKET"];
  if (!socket) return undefined;
  const fits = Buffer.byteLength(socket) <= maxSocketPathBytes(process.platform);
  if (!fits || !/^[/@]./.test(socket)) {
    throw new ConfigError(
      `NOTIFY_SOCKET is "${socket}", allowed is the path of a Unix datagram socket, or @ and a name`,
    );
  }
  return { socket, watchdogMs: readWatchdog(env, pid) };
}

/** Where a shell stands between, it is its watchdog and not ours. */
function readWatchdog(env: Environment, pid: number): number | undefined {
  const micros = env["WATCHDOG_USEC"];
  const of = env["WATCHDOG_PID"];
  if (!micros || (of && of !== String(pid))) return undefined;
  const value = /^\d{1,15}$/.test(micros) ? Number(micros) : 0;
  if (value > 0) return value / 1_000;
  throw new ConfigError(`WATCHDOG_USEC is "${micros}", allowed is a whole number of microseconds`);
}
