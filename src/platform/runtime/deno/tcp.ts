import { BACKLOG, limitUnacknowledged, probeWhenSilent, tcpProgress } from "../../tcp-connection.ts";
import type {
  PortReservation,
  TcpHandlers,
  TcpListener,
  TcpListenOptions,
  TcpSocket,
  TcpTimes,
} from "../tcp.ts";

/** Grows to this size while a client sends much. Each open connection holds a buffer. */
const FIRST_READ_BYTES = 2 * 1024;
const MAX_READ_BYTES = 64 * 1024;

/** The most bytes that are held for a client that does not read. */
const WRITE_BYTES = 64 * 1024;

/** Throws the system error if the port cannot be opened. */
export function listenTcp<Data>({ handlers, ...address }: TcpListenOptions<Data | undefined>): TcpListener {
  const listener = open(address);
  const sockets = new Set<DenoTcpSocket<Data | undefined>>();
  void acceptAll(listener, (connection) => {
    const socket = new DenoTcpSocket<Data | undefined>(connection, handlers, undefined);
    sockets.add(socket);
    void socket.run().then(() => sockets.delete(socket));
  });
  const stop = stopper(listener);
  return {
    port: listener.addr.port,
    stop(cuts = false) {
      stop();
      if (cuts) for (const socket of sockets) socket.terminate();
    },
  };
}

/** Sets the times on Linux alone, by calls of the C library. Elsewhere the deadlines of HTTP find a client that is gone, later. */
export function tuneTcp(socket: TcpSocket<unknown>, times: TcpTimes): void {
  if (socket instanceof DenoTcpSocket) socket.tune(times);
}

/** Returns the bytes that were written and that the peer's machine has not acknowledged, or at least those that the system has not taken. */
export function countUnsent(socket: TcpSocket<unknown>): number {
  return socket instanceof DenoTcpSocket ? socket.unsentBytes : 0;
}

/**
 * Holds a port. A connection that arrives is closed with the port. Nothing is accepted, since a port that accepts is not free at
 * once when it is closed. Throws the system error if it cannot be opened.
 */
export function holdPort(hostname: string, port: number, reusePort: boolean): PortReservation {
  const listener = open({ hostname, port, reusePort });
  return { port: listener.addr.port, [Symbol.dispose]: stopper(listener) };
}

function open(options: Omit<Deno.ListenOptions, "tcpBacklog">): Deno.Listener {
  try {
    return Deno.listen({ ...options, tcpBacklog: BACKLOG });
  } catch (error) {
    // Without the permission for the port, Deno gives no code.
    throw error instanceof Deno.errors.NotCapable ? Object.assign(error, { code: "EACCES" }) : error;
  }
}

/** Accepts until the listener is closed. Other errors are of one connection, or pass: too many open files. */
async function acceptAll(
  listener: Deno.Listener,
  accepted: (connection: Deno.TcpConn) => void,
): Promise<void> {
  for (;;) {
    try {
      accepted(await listener.accept());
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_AGAIN_MS));
    }
  }
}

const ACCEPT_AGAIN_MS = 50;

/** Returns a function that closes the listener, and may be called again. */
function stopper(listener: Deno.Listener): () => void {
  let isOpen = true;
  return () => {
    if (isOpen) listener.close();
    isOpen = false;
  };
}

/** From this length on, bytes are copied to a buffer that is used again. */
const MIN_SHARED_BYTES = 16 * 1024;

/** Buffers of {@link WRITE_BYTES} that no connection uses now. */
const idleBuffers: Uint8Array[] = [];
const MAX_IDLE_BUFFERS = 64;

/** Returns a buffer that begins with the first `length` bytes. */
function copyToSend(bytes: Uint8Array, length: number): Uint8Array {
  const first = length === bytes.length ? bytes : bytes.subarray(0, length);
  // Not by `slice`, which does not copy if the bytes are a Buffer.
  if (length < MIN_SHARED_BYTES) return new Uint8Array(first);
  const buffer = idleBuffers.pop() ?? new Uint8Array(WRITE_BYTES);
  buffer.set(first);
  return buffer;
}

let descriptorKey: symbol | undefined;

/**
 * Returns the descriptor of a connection, which belongs to it until it is closed. Deno 2.9 has it under a symbol that it does not export.
 * Returns undefined if there is none.
 */
function findDescriptor(connection: Deno.TcpConn): number | undefined {
  descriptorKey ??= Object.getOwnPropertySymbols(connection).find(
    ({ description }) => description === "Deno.internal.fd",
  );
  const fd = descriptorKey && (connection as unknown as Record<symbol, unknown>)[descriptorKey];
  return typeof fd === "number" ? fd : undefined;
}

/** One connection. Bytes that are written are copied, since their owner may overwrite them before the system takes them. */
class DenoTcpSocket<Data> implements TcpSocket<Data> {
  data: Data;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly #connection: Deno.TcpConn;
  readonly #handlers: TcpHandlers<Data>;
  #unsent = 0;
  #isFull = false;
  #isClosed = false;
  /** Whether the peer sends no more. */
  #hasEnded = false;
  /** Whether this end sends no more. */
  #isShutDown = false;
  /** Resolved when reading continues. */
  #resumed: PromiseWithResolvers<void> | undefined;
  /** What to do when everything written has been taken. */
  #afterWrite: (() => void) | undefined;

  constructor(connection: Deno.TcpConn, handlers: TcpHandlers<Data>, data: Data) {
    this.#connection = connection;
    this.#handlers = handlers;
    this.data = data;
    this.localPort = connection.localAddr.port;
    this.remoteAddress = connection.remoteAddr.hostname;
  }

  get unsentBytes(): number {
    return this.#unsent + (tcpProgress(this.#openDescriptor)?.queuedBytes ?? 0);
  }

  tune({ keepAliveAfterMs, unreadTimeoutMs }: TcpTimes): void {
    try {
      this.#connection.setNoDelay(true);
      this.#connection.setKeepAlive(true);
    } catch {
      // The client has gone.
      return;
    }
    const fd = this.#openDescriptor;
    probeWhenSilent(fd, keepAliveAfterMs);
    limitUnacknowledged(fd, unreadTimeoutMs);
  }

  /** Once the connection is closed, the descriptor may be that of another one. */
  get #openDescriptor(): number | undefined {
    return this.#isClosed ? undefined : findDescriptor(this.#connection);
  }

  /** Reads until the connection is closed. Never rejects. */
  async run(): Promise<void> {
    this.#handlers.open(this);
    try {
      await this.#read();
    } catch {
      // Reset by the peer, or closed here.
      this.terminate();
    }
  }

  write(bytes: Uint8Array): number {
    if (this.#isClosed) return -1;
    if (this.#unsent > 0) {
      this.#isFull = true;
      return 0;
    }
    const length = Math.min(bytes.length, WRITE_BYTES);
    this.#unsent = length;
    this.#isFull = length < bytes.length;
    if (length > 0) void this.#send(copyToSend(bytes, length), length);
    return length;
  }

  pause(): void {
    this.#resumed ??= Promise.withResolvers<void>();
  }

  resume(): void {
    this.#resumed?.resolve();
    this.#resumed = undefined;
  }

  shutdown(): void {
    this.#whenWritten(() => {
      this.#isShutDown = true;
      if (this.#hasEnded) this.terminate();
      else void this.#connection.closeWrite().catch(() => {});
    });
  }

  end(): void {
    this.#whenWritten(() => this.terminate());
  }

  terminate(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.resume();
    this.#connection.close();
    // Not within the call of the owner, who may not expect it.
    queueMicrotask(() => this.#handlers.close(this));
  }

  async #read(): Promise<void> {
    let buffer = new Uint8Array(FIRST_READ_BYTES);
    while (!this.#isClosed) {
      const length = await this.#connection.read(buffer);
      if (this.#resumed !== undefined) await this.#resumed.promise;
      if (this.#isClosed) return;
      if (length === null) {
        this.#hasEnded = true;
        this.#handlers.end(this);
        // Nothing moves in either direction any more.
        if (this.#isShutDown) this.terminate();
        return;
      }
      this.#handlers.data(this, Buffer.from(buffer.subarray(0, length)));
      if (length === buffer.length && length < MAX_READ_BYTES) buffer = new Uint8Array(4 * length);
    }
  }

  async #send(bytes: Uint8Array, length: number): Promise<void> {
    try {
      let rest = bytes.subarray(0, length);
      while (rest.length > 0) {
        rest = rest.subarray(await this.#connection.write(rest));
        this.#unsent = rest.length;
      }
    } catch {
      this.terminate();
    }
    if (bytes.length === WRITE_BYTES && idleBuffers.length < MAX_IDLE_BUFFERS) idleBuffers.push(bytes);
    this.#unsent = 0;
    if (this.#isClosed) return;
    if (this.#isFull) {
      this.#isFull = false;
      this.#handlers.drain(this);
    }
    if (this.#unsent > 0) return;
    this.#afterWrite?.();
    this.#afterWrite = undefined;
  }

  #whenWritten(act: () => void): void {
    if (this.#isClosed) return;
    if (this.#unsent === 0) act();
    else this.#afterWrite = act;
  }
}
