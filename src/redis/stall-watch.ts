import type { Socket } from "node:net";
import { Redis } from "ioredis";
import type { Clock } from "../platform/clock.ts";
import { socketProgress } from "../platform/tcp-connection.ts";
import type { RedisClient } from "./client.ts";
import { RedisFailure } from "./errors.ts";

const SAMPLES_PER_LIMIT = 6;

/**
 * The slowest network that is assumed behind a proxy. A proxy between relay and Redis, such as the sidecar of a service mesh,
 * accepts some megabytes at once and forwards them as fast as its network allows, which can't be observed here.
 */
const SLOWEST_BYTES_PER_S = 256 * 1024;
/** More than what kernels and proxies buffer. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

interface StallWatchOptions {
  readonly client: RedisClient;
  /** A connection is closed if no data is transferred for this time. */
  readonly limitMs: number;
  /** A connection is closed if it has received more bytes without the end of a reply. */
  readonly maxReplyBytes: number;
  /** Whether Redis responds on another connection. */
  readonly isResponding: () => Promise<boolean>;
  readonly clock: Clock;
}

interface Sample {
  /** The command whose reply is next. */
  readonly next: unknown;
  /** The bytes received before that command became the next one. */
  readonly receivedBefore: number;
  movedBytes: number;
  /** The number of samples since `movedBytes` last changed. */
  samplesSince: number;
}

/**
 * Closes connections that make no progress: commands wait for replies, but the peer neither acknowledges data nor sends any. The
 * total time that a value takes is not limited here.
 */
export class StallWatch implements Disposable {
  readonly #options: StallWatchOptions;
  readonly #samples = new WeakMap<Socket, Sample>();
  readonly #closing = new AbortController();

  constructor(options: StallWatchOptions) {
    this.#options = options;
    void this.#run();
  }

  async #run(): Promise<void> {
    const { client, limitMs, clock } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      // Counts samples instead of measuring time, so that the time while the machine is suspended does not count.
      for (const connection of listConnections(client)) await this.#sample(connection);
      await clock.sleep(limitMs / SAMPLES_PER_LIMIT, signal).catch(() => undefined);
    }
  }

  async #sample(connection: Redis): Promise<void> {
    // Undefined before the first connect, contrary to its type.
    const stream = connection.stream as Socket | undefined;
    if (stream === undefined || stream.destroyed) return;
    if (connection.commandQueue.length === 0) {
      this.#samples.delete(stream);
      return;
    }
    const progress = readProgress(stream);
    const next = connection.commandQueue.peekFront()?.command;
    const last = this.#samples.get(stream);
    if (last === undefined || last.next !== next) {
      const { movedBytes, receivedBytes } = progress;
      this.#samples.set(stream, { next, receivedBefore: receivedBytes, movedBytes, samplesSince: 0 });
    } else if (progress.receivedBytes - last.receivedBefore > this.#options.maxReplyBytes) {
      this.#close(connection, stream, new RedisFailure("garbage", "a reply is too large"));
    } else if (last.movedBytes !== progress.movedBytes) {
      last.movedBytes = progress.movedBytes;
      last.samplesSince = 0;
    } else {
      last.samplesSince += 1;
      const isStalled = await this.#isStalled(connection, last.samplesSince, progress.queuedBytes);
      // Checked again, because asking whether Redis responds takes a while.
      if (isStalled && readProgress(stream).movedBytes === last.movedBytes) {
        const seconds = this.#options.limitMs / 1_000;
        this.#close(connection, stream, new RedisFailure("timeout", `no data transferred for ${seconds} s`));
      }
    }
  }

  async #isStalled(connection: Redis, samplesSince: number, queuedBytes: number): Promise<boolean> {
    const { limitMs, isResponding } = this.#options;
    const overMs = ((samplesSince - SAMPLES_PER_LIMIT) * limitMs) / SAMPLES_PER_LIMIT;
    if (overMs < 0) return false;
    if (queuedBytes > 0 || overMs >= maxForwardingMs(connection)) return true;
    return !(await isResponding());
  }

  #close(connection: Redis, stream: Socket, failure: RedisFailure): void {
    // Otherwise the library would reject the commands only with "connection closed".
    for (const { command } of connection.commandQueue.toArray()) command.reject(failure);
    stream.destroy(failure);
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }
}

function listConnections(client: RedisClient): readonly Redis[] {
  return client instanceof Redis ? [client] : client.nodes("all");
}

interface Progress {
  readonly receivedBytes: number;
  /** Bytes received, and bytes sent that the peer's kernel has acknowledged. */
  readonly movedBytes: number;
  /** Bytes that the peer's kernel has not acknowledged. */
  readonly queuedBytes: number;
}

/** If the kernel provides no numbers, everything that was written counts as acknowledged. */
function readProgress(stream: Socket): Progress {
  const tcp = socketProgress(stream);
  const receivedBytes = tcp?.receivedBytes ?? stream.bytesRead;
  const movedBytes = receivedBytes + (tcp?.ackedBytes ?? stream.bytesWritten);
  return { receivedBytes, movedBytes, queuedBytes: Math.max(0, tcp?.queuedBytes ?? 0) };
}

/** Returns how long the commands that wait for replies may be in the buffers of proxies. */
function maxForwardingMs(connection: Redis): number {
  let bytes = 0;
  for (const { command } of connection.commandQueue.toArray()) {
    for (const arg of command.args) bytes += toLength(arg);
  }
  return (1_000 * Math.min(bytes, MAX_BUFFERED_BYTES)) / SLOWEST_BYTES_PER_S;
}

const toLength = (arg: unknown): number => (typeof arg === "string" || Buffer.isBuffer(arg) ? arg.length : 0);
