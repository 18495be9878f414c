import type { Socket } from "node:net";
import { Redis } from "ioredis";
import type { Clock } from "../clock.ts";
import { descriptorOf, tcpProgress } from "../libc/tcp-connection.ts";
import type { RedisClient } from "./client.ts";
import { RedisFailure } from "./failure.ts";

const LOOKS_PER_LIMIT = 6;

/**
 * A proxy on the way, such as the sidecar of a service mesh, takes some megabytes at once and sends them on as fast
 * as the network behind it can. Nothing of that is seen here: networks are taken to be at least as fast as this.
 */
const SLOWEST_BYTES_PER_S = 256 * 1024;
/** More than kernels and proxies buffer. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

export interface StallWatchOptions {
  readonly client: RedisClient;
  /** A connection on which nothing moves for so long is closed. */
  readonly limitMs: number;
  /** Whether Redis answers on another connection. */
  readonly isAnswering: () => Promise<boolean>;
  readonly clock: Clock;
}

interface Seen {
  readonly movedBytes: number;
  /** How many looks ago it came to that. */
  looks: number;
}

/**
 * Closes connections that make no progress: commands wait for answers, and neither does the peer acknowledge what
 * was sent, nor does anything come back. How long a value takes in all has no say in it.
 */
export class StallWatch implements Disposable {
  readonly #options: StallWatchOptions;
  readonly #seen = new WeakMap<Socket, Seen>();
  readonly #ending = new AbortController();

  constructor(options: StallWatchOptions) {
    this.#options = options;
    void this.#run();
  }

  async #run(): Promise<void> {
    const { client, limitMs, clock } = this.#options;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      // Looks are counted, not the time between them: a machine that was suspended has not waited.
      for (const connection of connectionsOf(client)) await this.#look(connection);
      await clock.sleep(limitMs / LOOKS_PER_LIMIT, signal).catch(() => undefined);
    }
  }

  async #look(connection: Redis): Promise<void> {
    // Undefined before the first connect, whatever the type says.
    const stream = connection.stream as Socket | undefined;
    if (stream === undefined || stream.destroyed) return;
    if (connection.commandQueue.length === 0) {
      this.#seen.delete(stream);
      return;
    }
    const { movedBytes, queuedBytes } = progressOf(stream);
    const seen = this.#seen.get(stream);
    if (seen?.movedBytes !== movedBytes) {
      this.#seen.set(stream, { movedBytes, looks: 0 });
      return;
    }
    seen.looks += 1;
    const looksOver = seen.looks - LOOKS_PER_LIMIT;
    if (looksOver < 0) return;
    const overMs = (looksOver * this.#options.limitMs) / LOOKS_PER_LIMIT;
    const isBuffered = queuedBytes === 0 && overMs < msToPassOn(connection);
    if (isBuffered && (await this.#options.isAnswering())) return;
    this.#close(connection, stream);
  }

  #close(connection: Redis, stream: Socket): void {
    const failure = new RedisFailure("timeout", `nothing moved for ${this.#options.limitMs / 1_000} s`);
    // The library would report only that the connection was closed.
    for (const { command } of connection.commandQueue.toArray()) command.reject(failure);
    stream.destroy(failure);
  }

  [Symbol.dispose](): void {
    this.#ending.abort();
  }
}

function connectionsOf(client: RedisClient): readonly Redis[] {
  return client instanceof Redis ? [client] : client.nodes("all");
}

/** Where the kernel does not say, what was written counts as gone. */
function progressOf(stream: Socket): { readonly movedBytes: number; readonly queuedBytes: number } {
  const tcp = tcpProgress(descriptorOf(stream));
  if (tcp === undefined) return { movedBytes: stream.bytesRead + stream.bytesWritten, queuedBytes: 0 };
  return { movedBytes: tcp.ackedBytes + tcp.receivedBytes, queuedBytes: Math.max(0, tcp.queuedBytes) };
}

/** How long the commands that wait for answers may be in buffers on the way. */
function msToPassOn(connection: Redis): number {
  let bytes = 0;
  for (const { command } of connection.commandQueue.toArray()) {
    for (const arg of command.args) bytes += lengthOf(arg);
  }
  return (1_000 * Math.min(bytes, MAX_BUFFERED_BYTES)) / SLOWEST_BYTES_PER_S;
}

const lengthOf = (arg: unknown): number => (typeof arg === "string" || Buffer.isBuffer(arg) ? arg.length : 0);
