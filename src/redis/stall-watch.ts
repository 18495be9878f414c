import type { Socket } from "node:net";
import { Redis } from "ioredis";
import type { Clock } from "../platform/clock.ts";
import { socketDescriptor, tcpProgress } from "../platform/tcp-connection.ts";
import type { RedisClient } from "./client.ts";
import { RedisFailure } from "./errors.ts";

const SAMPLES_PER_LIMIT = 6;

/**
 * A proxy on the way, such as the sidecar of a service mesh, takes some megabytes at once and sends them on as fast
 * as the network behind it can. Nothing of that is seen here: networks are taken to be at least as fast as this.
 */
const SLOWEST_BYTES_PER_S = 256 * 1024;
/** More than kernels and proxies buffer. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

interface StallWatchOptions {
  readonly client: RedisClient;
  /** A connection on which nothing moves for so long is closed. */
  readonly limitMs: number;
  /** And one that was sent so much without the end of an answer. */
  readonly maxReplyBytes: number;
  /** Whether Redis answers on another connection. */
  readonly isResponding: () => Promise<boolean>;
  readonly clock: Clock;
}

interface Seen {
  /** The command that is to be answered next. */
  readonly next: unknown;
  /** When it became the next one. */
  readonly receivedBefore: number;
  movedBytes: number;
  /** How many samples ago it came to that. */
  samplesSince: number;
}

/**
 * Closes connections that make no progress: commands wait for answers, and neither does the peer acknowledge what
 * was sent, nor does anything come back. How long a value takes in total does not matter.
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
      // Samples are counted, not the time between them: a machine that was suspended has not waited.
      for (const connection of connectionsOf(client)) await this.#sample(connection);
      await clock.sleep(limitMs / SAMPLES_PER_LIMIT, signal).catch(() => undefined);
    }
  }

  async #sample(connection: Redis): Promise<void> {
    // Undefined before the first connect, whatever the type says.
    const stream = connection.stream as Socket | undefined;
    if (stream === undefined || stream.destroyed) return;
    if (connection.commandQueue.length === 0) {
      this.#seen.delete(stream);
      return;
    }
    const progress = progressOf(stream);
    const next = connection.commandQueue.peekFront()?.command;
    const seen = this.#seen.get(stream);
    if (seen === undefined || seen.next !== next) {
      const { movedBytes, receivedBytes } = progress;
      this.#seen.set(stream, { next, receivedBefore: receivedBytes, movedBytes, samplesSince: 0 });
    } else if (progress.receivedBytes - seen.receivedBefore > this.#options.maxReplyBytes) {
      this.#close(connection, stream, new RedisFailure("garbage", "an answer is too large"));
    } else if (seen.movedBytes !== progress.movedBytes) {
      seen.movedBytes = progress.movedBytes;
      seen.samplesSince = 0;
    } else {
      seen.samplesSince += 1;
      const isStalled = await this.#isStalled(connection, seen.samplesSince, progress.queuedBytes);
      // To ask takes a while, too.
      if (isStalled && progressOf(stream).movedBytes === seen.movedBytes) {
        const seconds = this.#options.limitMs / 1_000;
        this.#close(connection, stream, new RedisFailure("timeout", `nothing moved for ${seconds} s`));
      }
    }
  }

  async #isStalled(connection: Redis, samplesSince: number, queuedBytes: number): Promise<boolean> {
    const { limitMs, isResponding } = this.#options;
    const overMs = ((samplesSince - SAMPLES_PER_LIMIT) * limitMs) / SAMPLES_PER_LIMIT;
    if (overMs < 0) return false;
    if (queuedBytes > 0 || overMs >= msToPassOn(connection)) return true;
    return !(await isResponding());
  }

  #close(connection: Redis, stream: Socket, failure: RedisFailure): void {
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

interface Progress {
  readonly receivedBytes: number;
  /** In both directions. */
  readonly movedBytes: number;
  /** Not acknowledged by the peer's kernel. */
  readonly queuedBytes: number;
}

/** If the kernel does not say, what was written counts as acknowledged. */
function progressOf(stream: Socket): Progress {
  const tcp = tcpProgress(socketDescriptor(stream));
  const receivedBytes = tcp?.receivedBytes ?? stream.bytesRead;
  const movedBytes = receivedBytes + (tcp?.ackedBytes ?? stream.bytesWritten);
  return { receivedBytes, movedBytes, queuedBytes: Math.max(0, tcp?.queuedBytes ?? 0) };
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
