import type { Server } from "node:net";
import { deepenBacklog, socketDescriptor } from "../platform/tcp-connection.ts";

export interface ListenAddress {
  readonly bindAddress: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Whether other threads listen on the same port. */
  readonly reusePort: boolean;
}

/** The options of `Bun.listen`. `reusePort` is missing in Bun's types. */
export type TcpListenOptions<Data = undefined> = Bun.TCPSocketListenOptions<Data> & {
  readonly reusePort: boolean;
};

/** Resolves when the server listens. Rejects with the system error if the port cannot be opened. */
export async function listen(server: Server, { bindAddress, port, reusePort }: ListenAddress): Promise<void> {
  const started = Promise.withResolvers<void>();
  server.once("error", started.reject);
  server.listen({ host: bindAddress, port, reusePort }, started.resolve);
  await started.promise;
  server.off("error", started.reject);
  deepenBacklog(socketDescriptor(server));
}

/** A port that is held for the threads that are going to share it. Dispose of it once they listen. */
interface PortReservation extends Disposable {
  readonly port: number;
}

/** A connection that arrives before the threads listen is closed: its client tries again. */
const CLOSE_AT_ONCE: Bun.SocketHandler = {
  open: (socket) => socket.terminate(),
  data: () => {},
  // `close` follows.
  error: () => {},
};

/**
 * Reserves a port that several threads are going to share with `reusePort`; 0 picks a free one. Throws the system error, such as
 * EADDRINUSE or EACCES, if it cannot be opened. With `reusePort` alone, a second relay that was started by mistake would share
 * the port of the first one, and get a part of its connections. This check is not atomic: a relay that is started within the
 * same millisecond may still get by.
 */
export function reservePort(bindAddress: string, port: number): PortReservation {
  // Fails if any other socket listens there, whether it shares the port or not. The system never picks a shared port for 0.
  if (port !== 0) hold(bindAddress, port, false).stop(true);
  const listener = hold(bindAddress, port, true);
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

function hold(hostname: string, port: number, reusePort: boolean): Bun.TCPSocketListener {
  const options: TcpListenOptions = { hostname, port, reusePort, socket: CLOSE_AT_ONCE };
  return Bun.listen(options);
}
