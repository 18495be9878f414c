import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../common/free-port.ts";

/** A slow link: how much passes in each direction of a connection, and how long a chunk is on its way. */
export interface Throttle {
  readonly bytesPerS: number;
  readonly latencyMs: number;
}

const SLICES_PER_S = 20;
const STARTS = 5;

/** The link between a client and a server on loopback, which can be slow, silent or down. */
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
        // Another run took the port in the meantime.
        if (left <= 1) throw error;
      }
    }
  }

  /** From now on also for connections that are open. */
  throttle(throttle: Throttle): void {
    this.#throttle = throttle;
  }

  /** Nothing passes any more and nobody is told: connections stay, and new ones are accepted. */
  cut(): void {
    this.#healed ??= Promise.withResolvers<void>();
  }

  /** Connections are reset, and new ones are refused. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server === undefined ? undefined : once(server, "close");
    server?.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  /** A link without fault again. What a cut kept back arrives now, as if it had been sent again. */
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
      // An error is followed by close.
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

/** What may be on its way: the sender of more has to wait, as by a full window of TCP. */
const MAX_BYTES_UNDERWAY = 64 * 1024;

/** Chunks with their times of arrival, also of those that wait for others before them: latency takes nothing from the rate. */
async function* arrivals(socket: Socket): AsyncGenerator<Arrival> {
  const underway: Arrival[] = [];
  let bytes = 0;
  let isOver = false;
  let wake = Promise.withResolvers<void>();
  const end = (): void => {
    isOver = true;
    wake.resolve();
  };
  socket.on("data", (chunk: Buffer) => {
    underway.push({ chunk, arrivedAt: performance.now() });
    bytes += chunk.byteLength;
    if (bytes >= MAX_BYTES_UNDERWAY) socket.pause();
    wake.resolve();
  });
  socket.once("end", end);
  socket.once("close", end);
  for (;;) {
    const next = underway.shift();
    if (next !== undefined) {
      yield next;
      bytes -= next.chunk.byteLength;
      if (bytes < MAX_BYTES_UNDERWAY && socket.isPaused()) socket.resume();
      continue;
    }
    if (isOver) return;
    await wake.promise;
    wake = Promise.withResolvers<void>();
  }
}
