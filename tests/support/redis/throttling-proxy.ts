import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../common/free-port.ts";

/** The bandwidth of a link in each direction of a connection, and its latency. */
export interface Throttle {
  readonly bytesPerS: number;
  readonly latencyMs: number;
}

const SLICES_PER_S = 20;
const STARTS = 5;

/** A link between a client and a server on loopback, which can be slow, silent or down. */
export class ThrottlingProxy implements AsyncDisposable {
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #throttle: Throttle | undefined;
  /** Settles when a cut link passes data again. */
  #healed: PromiseWithResolvers<void> | undefined;
  port = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  static async start(targetPort: number): Promise<ThrottlingProxy> {
    for (let left = STARTS; ; left--) {
      const proxy = new ThrottlingProxy(targetPort);
      proxy.port = await freePort();
      try {
        await proxy.#listen();
        return proxy;
      } catch (error) {
        // Another process took the port meanwhile.
        if (left <= 1) throw error;
      }
    }
  }

  /** Also applies to open connections. */
  throttle(throttle: Throttle): void {
    this.#throttle = throttle;
  }

  /** Forwards nothing any more. Connections stay open, and new ones are accepted. */
  cut(): void {
    this.#healed ??= Promise.withResolvers<void>();
  }

  /** Resets connections and refuses new ones. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server === undefined ? undefined : once(server, "close");
    server?.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  /** Removes all faults. Data that a cut held back arrives now, as if it had been retransmitted. */
  async heal(): Promise<void> {
    this.#throttle = undefined;
    this.#healed?.resolve();
    this.#healed = undefined;
    if (this.#server === undefined) await this.#listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.refuse();
    this.#healed?.resolve();
  }

  async #listen(): Promise<void> {
    const server = createServer((client) => this.#accept(client));
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
  }

  #accept(client: Socket): void {
    const server = connect(this.#targetPort, "127.0.0.1");
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      // An error is followed by a close event.
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#sockets.delete(from);
        if (from.errored !== null) to.destroy();
      });
      this.#pass(from, to).then(
        () => to.end(),
        () => to.destroy(),
      );
    }
  }

  async #pass(from: Socket, to: Socket): Promise<void> {
    for await (const { chunk, arrivedAt } of arrivals(from)) {
      const leftMs = arrivedAt + (this.#throttle?.latencyMs ?? 0) - performance.now();
      if (leftMs > 0) await sleep(leftMs);
      for (let at = 0; at < chunk.byteLength; ) {
        await this.#healed?.promise;
        const bytesPerS = this.#throttle?.bytesPerS;
        const end = bytesPerS === undefined ? chunk.byteLength : at + Math.ceil(bytesPerS / SLICES_PER_S);
        const slice = chunk.subarray(at, end);
        if (to.destroyed) return;
        if (!to.write(slice)) await Promise.race([once(to, "drain"), once(to, "close")]);
        if (bytesPerS !== undefined) await sleep((1_000 * slice.byteLength) / bytesPerS);
        at = end;
      }
    }
  }
}

interface Arrival {
  readonly chunk: Buffer;
  readonly arrivedAt: number;
}

/** The limit of data in flight. The sender has to wait for more, as with a full TCP window. */
const MAX_BYTES_IN_FLIGHT = 64 * 1024;

/** Chunks with their times of arrival, also of those that wait behind others: latency does not reduce the bandwidth. */
async function* arrivals(socket: Socket): AsyncGenerator<Arrival> {
  const inFlight: Arrival[] = [];
  let bytes = 0;
  let isOver = false;
  let wake = Promise.withResolvers<void>();
  const end = (): void => {
    isOver = true;
    wake.resolve();
  };
  socket.on("data", (chunk: Buffer) => {
    inFlight.push({ chunk, arrivedAt: performance.now() });
    bytes += chunk.byteLength;
    if (bytes >= MAX_BYTES_IN_FLIGHT) socket.pause();
    wake.resolve();
  });
  socket.once("end", end);
  socket.once("close", end);
  for (;;) {
    const next = inFlight.shift();
    if (next !== undefined) {
      yield next;
      bytes -= next.chunk.byteLength;
      if (bytes < MAX_BYTES_IN_FLIGHT && socket.isPaused()) socket.resume();
      continue;
    }
    if (isOver) return;
    await wake.promise;
    wake = Promise.withResolvers<void>();
  }
}
