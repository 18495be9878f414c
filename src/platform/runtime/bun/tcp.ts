import { deepenBacklog, limitUnacknowledged, tcpProgress } from "../../tcp-connection.ts";
import type { PortReservation, TcpListener, TcpListenOptions, TcpSocket, TcpTimes } from "../tcp.ts";

/** `reusePort` and `fd` are missing in Bun's types. */
type ListenOptions<Data> = Bun.TCPSocketListenOptions<Data> & { readonly reusePort: boolean };
type WithDescriptor = { readonly fd?: number };

/** Throws the system error if the port cannot be opened. */
export function listenTcp<Data>({ handlers, ...address }: TcpListenOptions<Data | undefined>): TcpListener {
  const options: ListenOptions<Data | undefined> = {
    ...address,
    // A client may close its sending half and still wait for its response.
    allowHalfOpen: true,
    socket: {
      ...handlers,
      // `close` is called after it.
      error: () => {},
    },
  };
  const listener = Bun.listen(options);
  const { fd } = listener as WithDescriptor;
  deepenBacklog(fd);
  return listener;
}

export function tuneTcp(socket: TcpSocket<unknown>, { keepAliveAfterMs, unreadTimeoutMs }: TcpTimes): void {
  const own = socket as Bun.Socket;
  own.setNoDelay(true);
  own.setKeepAlive(true, keepAliveAfterMs);
  limitUnacknowledged(findDescriptor(socket), unreadTimeoutMs);
}

/** Returns the bytes that were written and that the peer's machine has not acknowledged; 0 if the system does not say. */
export function countUnsent(socket: TcpSocket<unknown>): number {
  return tcpProgress(findDescriptor(socket))?.queuedBytes ?? 0;
}

function findDescriptor(socket: TcpSocket<unknown>): number | undefined {
  const { fd } = socket as WithDescriptor;
  return fd !== undefined && fd >= 0 ? fd : undefined;
}

/** Holds a port, and closes each connection that arrives. Throws the system error if it cannot be opened. */
export function holdPort(hostname: string, port: number, reusePort: boolean): PortReservation {
  const options: ListenOptions<undefined> = { hostname, port, reusePort, socket: CLOSE_AT_ONCE };
  const listener = Bun.listen(options);
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

const CLOSE_AT_ONCE: Bun.SocketHandler = {
  open: (socket) => socket.terminate(),
  data: () => {},
  // `close` follows.
  error: () => {},
};
