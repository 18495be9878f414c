import { Writable } from "node:stream";
import type { Clock } from "../../clock.ts";
import { aborted } from "./aborted.ts";
import type { DatagramSocket, OpenSocket } from "./statsd-socket.ts";

export interface DatagramStreamOptions {
  readonly open: OpenSocket;
  readonly clock: Clock;
  readonly maxRetries: number;
  readonly retryDelayMs: number;
}

/**
 * Makes a datagram of each chunk that is written to it, batch by batch. A stream that failed would take nothing any
 * more; so this one never does, but tells afterwards.
 */
export class DatagramStream extends Writable {
  readonly #options: DatagramStreamOptions;
  #signal = AbortSignal.abort();
  #socket: DatagramSocket | undefined;
  #problem: unknown;

  constructor(options: DatagramStreamOptions) {
    super();
    this.#options = options;
  }

  /** Of a batch, what follows on something that can't be sent is not tried. */
  begin(signal: AbortSignal): void {
    this.#signal = signal;
    this.#problem = undefined;
  }

  /** Throws where something of this batch was not sent. */
  check(): void {
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** The same, also where the system only tells afterwards. */
  async confirm(): Promise<void> {
    this.check();
    await this.#socket?.confirm();
  }

  /** Each batch has a connection of its own: agents are replaced, and their addresses change. */
  disconnect(): void {
    this.#socket?.[Symbol.dispose]();
    this.#socket = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const delivered = this.#problem === undefined ? this.#deliver(withoutLineEnd(chunk)) : Promise.resolve();
    delivered.then(done, (error: unknown) => {
      this.#problem = error;
      done();
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.disconnect();
    done(error);
  }

  async #deliver(datagram: Uint8Array): Promise<void> {
    const { clock, maxRetries, retryDelayMs } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#send(datagram);
        return;
      } catch (error) {
        this.disconnect();
        if (attempt === maxRetries) throw error;
        await clock.sleep(retryDelayMs * 2 ** attempt, this.#signal).catch(() => {
          throw error;
        });
      }
    }
  }

  async #send(datagram: Uint8Array): Promise<void> {
    if (this.#socket !== undefined) {
      await this.#socket.send(datagram);
      return;
    }
    const socket = await this.#connect();
    this.#socket = socket;
    await socket.send(datagram);
    await socket.confirm();
  }

  /** A name may take very long to look up. */
  async #connect(): Promise<DatagramSocket> {
    const opening = this.#options.open();
    try {
      return await Promise.race([opening, aborted(this.#signal)]);
    } catch (error) {
      opening.then(
        (late) => late[Symbol.dispose](),
        () => undefined,
      );
      throw error;
    }
  }
}

/** hot-shots ends every chunk with one, as a byte more than it may have. */
function withoutLineEnd(chunk: Buffer): Uint8Array {
  return chunk.at(-1) === 0x0a ? chunk.subarray(0, -1) : chunk;
}
