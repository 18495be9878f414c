import type { OptionName } from "./options.ts";

/** A port can't be had; the message is one line for people. */
export class ListenError extends Error {}

export interface ListenerAddress {
  readonly protocol: "http" | "https" | "grpc" | "grpcs" | "management";
  readonly bindAddress: string;
  readonly port: number;
}

/** A URL by which a client on this machine reaches the listener. */
export function localUrl({ protocol, bindAddress, port }: ListenerAddress): string {
  const everywhere = bindAddress === "::" || bindAddress === "0.0.0.0";
  const host = everywhere ? "localhost" : bindAddress.includes(":") ? `[${bindAddress}]` : bindAddress;
  const scheme = protocol === "https" || protocol === "grpcs" ? "https" : "http";
  return `${scheme}://${host}:${port}`;
}

/** Starts a listener; what the system says against it becomes a {@link ListenError} that names the option. */
export async function listenOrExplain<T>(
  option: OptionName,
  port: number,
  bindAddress: string,
  listen: () => T | Promise<T>,
): Promise<T> {
  try {
    return await listen();
  } catch (error) {
    throw new ListenError(
      `cannot listen on --${option} ${port} of --bind-address ${bindAddress}: ${reasonOf(error)}`,
    );
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use";
    case "EACCES":
      return "no permission for this port";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "ENOTTY":
    case "EINVAL":
      return "this machine has no such address";
    default:
      return code ?? message.split("\n", 1)[0] ?? "unknown error";
  }
}
