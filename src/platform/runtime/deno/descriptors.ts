import type { Server, Socket } from "node:net";
import { findLibc } from "../../libc.ts";

interface Handled {
  readonly _handle?: {
    /** Returns a copy of the descriptor, which the caller must close. */
    readonly fdForIpc?: () => unknown;
  } | null;
}

/**
 * Calls `use` with a descriptor of a socket, which is valid until `use` returns. Returns undefined if the socket has none. Deno 2.9 does not
 * expose it, and has a method that copies it for another process.
 */
export function withDescriptor<T>(socket: Socket | Server, use: (fd: number) => T): T | undefined {
  const libc = findLibc();
  // A TLS socket is on top of the one that is connected.
  const { _parent: under } = socket as { readonly _parent?: Handled | null };
  const fd = libc && (under ?? (socket as Handled))._handle?.fdForIpc?.();
  if (libc === undefined || typeof fd !== "number" || fd < 0) return undefined;
  try {
    return use(fd);
  } finally {
    libc.close(fd);
  }
}
