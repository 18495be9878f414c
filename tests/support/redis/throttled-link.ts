import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { withDescriptor } from "#runtime/descriptors.ts";
import { openLibc } from "../../../src/platform/libc.ts";

export interface ThrottledLinkOptions {
  readonly targetPort: number;
  /** The bandwidth of all connections together, in each direction. */
  readonly bytesPerSecond: number;
  /** The buffer for each connection and direction. */
  readonly bufferBytes?: number;
}

/** A connection through the link. */
export interface LinkedConnection {
  /** Bytes forwarded to the server so far. */
  readonly bytesUp: number;
  /** Bytes forwarded to the client so far. */
  readonly bytesDown: number;
}

/** On Linux. */
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;

const SLICE_BYTES = 8 * 1024;
/** The maximum idle time that the link makes up for with a burst. */
const MAX_BURST_MS = 20;
const IDLE_MS = 1;

/** A slow network between a client and a server on loopback. Connections share it fairly, and it can be cut. */
export class ThrottledLink implements AsyncDisposable {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #options: Required<ThrottledLinkOptions>;
  readonly #ending = new AbortController();
  #bytesPerSecond: number;
  #isCut: (connection: LinkedConnection) => boolean = () => false;

  private constructor(options: Required<ThrottledLinkOptions>) {
    this.#options = options;
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async start({ bufferBytes = 64 * 1024, ...options }: ThrottledLinkOptions): Promise<ThrottledLink> {
    const link = new ThrottledLink({ ...options, bufferBytes });
    await new Promise<void>((resolve) => link.#server.listen(0, "127.0.0.1", resolve));
    void link.#forward((connection) => connection.up);
    void link.#forward((connection) => connection.down);
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): readonly LinkedConnection[] {
    return [...this.#connections];
  }

  setRate(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Stops forwarding in both directions, for all connections or some. The connections stay open. */
  cut(which: (connection: LinkedConnection) => boolean = () => true): void {
    this.#isCut = which;
  }

  resume(): void {
    this.#isCut = () => false;
  }

  #accept(client: Socket): void {
    const server = connect(this.#options.targetPort, "127.0.0.1");
    const connection = new Connection(client, server, this.#options.bufferBytes);
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        if (client.destroyed && server.destroyed) this.#connections.delete(connection);
      });
    }
  }

  /** Forwards one slice of each connection at a time, so that a small message does not wait behind a large one. */
  async #forward(laneOf: (connection: Connection) => Lane): Promise<void> {
    const { signal } = this.#ending;
    let freeAt = performance.now();
    while (!signal.aborted) {
      let passed = 0;
      for (const connection of this.#connections) {
        if (this.#isCut(connection)) continue;
        const bytes = laneOf(connection).forward(SLICE_BYTES);
        if (bytes === 0) continue;
        passed += bytes;
        freeAt = Math.max(freeAt, performance.now() - MAX_BURST_MS) + (1_000 * bytes) / this.#bytesPerSecond;
      }
      const waitMs = freeAt - performance.now();
      if (passed === 0 || waitMs >= 1) {
        await sleep(Math.max(IDLE_MS, waitMs), undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#server.close();
    for (const connection of this.#connections) connection.destroy();
  }
}

class Connection implements LinkedConnection {
  readonly up: Lane;
  readonly down: Lane;

  constructor(client: Socket, server: Socket, bufferBytes: number) {
    this.up = new Lane(client, server, bufferBytes);
    this.down = new Lane(server, client, bufferBytes);
  }

  get bytesUp(): number {
    return this.up.passed;
  }

  get bytesDown(): number {
    return this.down.passed;
  }

  destroy(): void {
    this.up.destroy();
    this.down.destroy();
  }
}

/** One direction of a connection. */
class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #bufferBytes: number;
  readonly #chunks: Buffer[] = [];
  #buffered = 0;
  #hasEnded = false;
  passed = 0;

  constructor(from: Socket, to: Socket, bufferBytes: number) {
    this.#from = from;
    this.#to = to;
    this.#bufferBytes = bufferBytes;
    limitReceiveBuffer(from, bufferBytes);
    from.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      if (this.#buffered >= this.#bufferBytes) from.pause();
    });
    from.on("close", () => {
      this.#hasEnded = true;
    });
  }

  /** Forwards at most `maxBytes`, and returns how many bytes it forwarded. */
  forward(maxBytes: number): number {
    const [chunk] = this.#chunks;
    if (chunk === undefined) {
      if (this.#hasEnded) this.#to.destroy();
      return 0;
    }
    const slice = chunk.subarray(0, maxBytes);
    if (slice.length === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(slice.length);
    this.#buffered -= slice.length;
    if (this.#buffered < this.#bufferBytes) this.#from.resume();
    this.#to.write(slice);
    this.passed += slice.length;
    return slice.length;
  }

  destroy(): void {
    this.#from.destroy();
  }
}

/** Without a limit, the kernel accepts and acknowledges some megabytes at once. */
function limitReceiveBuffer(socket: Socket, bytes: number): void {
  const limit = () => {
    const value = new Uint8Array(Int32Array.of(bytes).buffer);
    const { setsockopt } = openLibc(process.platform);
    withDescriptor(socket, (fd) => setsockopt(fd, SOL_SOCKET, SO_RCVBUF, value));
  };
  if (socket.connecting) socket.once("connect", limit);
  else limit();
}
