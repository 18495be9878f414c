/** A TCP connection that was accepted. */
export interface TcpSocket<Data> {
  /** For the owner of the socket. */
  data: Data;
  /** The port of this machine; 0 once the socket is closed. */
  readonly localPort: number;
  readonly remoteAddress: string;
  /**
   * Returns how many bytes were taken and copied; a negative number if the peer has reset the connection. The rest must be
   * written again after `drain`.
   */
  write(bytes: Uint8Array): number;
  /** Delivers no more bytes until `resume`. */
  pause(): void;
  resume(): void;
  /** Sends what was written, and then no more. Still receives. */
  shutdown(): void;
  /** Sends what was written, and closes the connection. */
  end(): void;
  /** Cuts the connection. What the peer has not received is lost. */
  terminate(): void;
}

export interface TcpHandlers<Data> {
  readonly open: (socket: TcpSocket<Data>) => void;
  readonly data: (socket: TcpSocket<Data>, bytes: Uint8Array) => void;
  /** The socket takes bytes again. */
  readonly drain: (socket: TcpSocket<Data>) => void;
  /** The peer sends no more. It may still receive. */
  readonly end: (socket: TcpSocket<Data>) => void;
  /** Called once for each socket that was opened. */
  readonly close: (socket: TcpSocket<Data>) => void;
}

export interface TcpListenOptions<Data> {
  readonly hostname: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Whether other threads listen on the same port. */
  readonly reusePort: boolean;
  readonly handlers: TcpHandlers<Data>;
}

export interface TcpTimes {
  /** A silent connection is probed after this time, so that a peer whose machine vanished is found. */
  readonly keepAliveAfterMs: number;
  /** A connection whose peer acknowledges nothing for this time is closed. */
  readonly unreadTimeoutMs: number;
}

export interface TcpListener {
  readonly port: number;
  /** Accepts no more connections, and cuts those that are open if `cuts` is true. */
  stop(cuts?: boolean): void;
}

/** A port that is held for the threads that are going to share it. Dispose of it once they listen. */
export interface PortReservation extends Disposable {
  readonly port: number;
}
