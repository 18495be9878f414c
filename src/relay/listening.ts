import type { Config } from "../config/config.ts";
import type { LimitsConfig } from "../config/groups/limits.ts";
import type { ListenerConfig } from "../config/groups/listeners.ts";
import { StartError } from "../config/settings.ts";
import { describeErrno, EXIT_FAILED, UserError } from "../platform/errors.ts";
import { descriptorLimit } from "../platform/libc.ts";
import { connectionsAllowed, type EmitLimitEvent } from "../server/limits.ts";
import { reservePort } from "../server/ports.ts";
import type { SharedPort } from "../serving/messages.ts";

/** A port cannot be opened. The message is one line for users. */
class ListenError extends UserError {
  constructor(message: string) {
    super(message, EXIT_FAILED);
  }
}

export interface ListenerAddress {
  readonly protocol: ListenerConfig["protocol"] | "management";
  readonly bindAddress: string;
  readonly port: number;
}

/** Returns a URL by which a client on this machine reaches the listener. */
export function localUrl({ protocol, bindAddress, port }: ListenerAddress): string {
  const everywhere = bindAddress === "::" || bindAddress === "0.0.0.0";
  const host = everywhere ? "localhost" : bindAddress.includes(":") ? `[${bindAddress}]` : bindAddress;
  const scheme = protocol === "https" || protocol === "grpcs" ? "https" : "http";
  return `${scheme}://${host}:${port}`;
}

interface Listening extends Pick<ListenerConfig, "option" | "bindAddress" | "port"> {
  /** The option that sets the address; `bind-address` by default. */
  readonly addressOption?: string;
}

/** Opens a port. A system error becomes a {@link ListenError} that names the option. */
export function listenOrThrow<T>(listening: Listening, listen: () => T): T {
  try {
    return listen();
  } catch (error) {
    throw toListenError(listening, error);
  }
}

/** Ports that are reserved until the threads that share them listen. */
export class ReservedPorts implements Disposable {
  readonly ports: readonly SharedPort[];
  readonly #listeners: readonly ListenerConfig[];
  readonly #reserved = new DisposableStack();

  /** Throws a ListenError if a port cannot be opened. */
  constructor(listeners: readonly ListenerConfig[]) {
    using starting = new DisposableStack();
    this.#listeners = listeners;
    this.ports = listeners.map((listener) => {
      const { protocol, bindAddress, port } = listener;
      const reserved = starting.use(listenOrThrow(listener, () => reservePort(bindAddress, port)));
      return { protocol, bindAddress, port: reserved.port };
    });
    this.#reserved = starting.move();
  }

  /** Returns the error for a port that a thread could not open. */
  toListenError(protocol: ListenerConfig["protocol"], error: unknown): Error {
    const listener = this.#listeners.find((each) => each.protocol === protocol);
    return listener === undefined ? new Error(String(error)) : toListenError(listener, error);
  }

  [Symbol.dispose](): void {
    this.#reserved.dispose();
  }
}

function toListenError(
  { option, port, bindAddress, addressOption = "bind-address" }: Listening,
  error: unknown,
): ListenError {
  return new ListenError(
    `cannot listen on --${option} ${port} of --${addressOption} "${bindAddress}": ${describeListenError(error)}`,
  );
}

const NO_ADDRESS = "this machine has no such address";

/** Bun gives no code for an address that does not resolve. */
function describeListenError(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? NO_ADDRESS : describeErrno(error, LISTEN_MESSAGES);
}

/** Messages for the errors with which opening a port fails. Bun and the resolver report a wrong address by several codes. */
const LISTEN_MESSAGES = {
  EADDRINUSE: "the port is in use",
  EACCES: "no permission for this port",
  EADDRNOTAVAIL: NO_ADDRESS,
  ENOTFOUND: NO_ADDRESS,
  ENOTTY: NO_ADDRESS,
  EINVAL: NO_ADDRESS,
};

/** A default limit that had to be lowered below this is worth a warning. */
const FEW_CONNECTIONS = 1_000;

/** Lowers `maxConnections` to what the system's limit of open files allows with this number of threads. Throws a StartError if that is too few. */
export function lowerLimits(
  { limits, listeners }: Pick<Config, "limits" | "listeners">,
  threads: number,
  emit: EmitLimitEvent,
): LimitsConfig {
  const { maxConnections } = limits;
  const descriptors = descriptorLimit();
  const allowed = connectionsAllowed({ maxConnections, ports: listeners.length, threads }, descriptors);
  switch (allowed.kind) {
    case "as_wanted":
      return limits;
    case "lowered": {
      const { connections } = allowed;
      if (limits.isMaxConnectionsGiven || connections < FEW_CONNECTIONS)
        emit({ kind: "connections_lowered", connections, descriptors });
      return { ...limits, maxConnections: connections };
    }
    case "too_few":
      throw new StartError(
        `the system allows ${descriptors} open files, and the relay needs ${allowed.needed}: ` +
          "raise the limit (ulimit -n; LimitNOFILE= with systemd; --ulimit nofile= with Docker)",
      );
  }
}
