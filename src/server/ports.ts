import type { Server } from "node:net";
import { withDescriptor } from "#runtime/descriptors.ts";
import { holdPort } from "#runtime/tcp.ts";
import type { PortReservation } from "../platform/runtime/tcp.ts";
import { BACKLOG, deepenBacklog } from "../platform/tcp-connection.ts";

export interface ListenAddress {
  readonly bindAddress: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Whether other threads listen on the same port. */
  readonly reusePort: boolean;
}

/** Resolves when the server listens. Rejects with the system error if the port cannot be opened. */
export async function listen(server: Server, { bindAddress, port, reusePort }: ListenAddress): Promise<void> {
  const started = Promise.withResolvers<void>();
  server.once("error", started.reject);
  server.listen({ host: bindAddress, port, reusePort, backlog: BACKLOG }, started.resolve);
  await started.promise;
  server.off("error", started.reject);
  // Bun ignores `backlog`.
  withDescriptor(server, deepenBacklog);
}

/**
 * Reserves a port that several threads are going to share with `reusePort`; 0 picks a free one. Throws the system error, such as
 * EADDRINUSE or EACCES, if it cannot be opened. With `reusePort` alone, a second relay that was started by mistake would share
 * the port of the first one, and get a part of its connections. This check is not atomic: a relay that is started within the
 * same millisecond may still get by. A connection that arrives before the threads listen is closed: its client tries again.
 */
export function reservePort(bindAddress: string, port: number): PortReservation {
  // Fails if any other socket listens there, whether it shares the port or not. The system never picks a shared port for 0.
  if (port !== 0) holdPort(bindAddress, port, false)[Symbol.dispose]();
  return holdPort(bindAddress, port, true);
}
