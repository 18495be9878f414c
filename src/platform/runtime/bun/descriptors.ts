import type { Server, Socket } from "node:net";

/** Calls `use` with the descriptor of a socket, which is valid until `use` returns. Returns undefined if the socket has none. */
export function withDescriptor<T>(socket: Socket | Server, use: (fd: number) => T): T | undefined {
  // `node:net` does not expose it.
  const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? use(handle.fd) : undefined;
}
