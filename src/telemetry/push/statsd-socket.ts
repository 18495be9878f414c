import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../../platform/clock.ts";
import { openUnixDatagram, type UnixDatagram, UnixDatagramError } from "../../platform/unix-datagram.ts";
import { aborted } from "./channel.ts";

/** A way to send datagrams to one place, for a while: whoever gets an error opens another. */
export interface DatagramSocket extends Disposable {
  /** Rejects with a DatagramError. Waits for no reader: that its queue is full is an error. */
  send(datagram: Uint8Array): Promise<void>;
  /** Rejects where the system tells, a moment after the fact, that something sent did not arrive. */
  confirm(): Promise<void>;
}

/** Rejects with a DatagramError. */
type OpenSocket = () => Promise<DatagramSocket>;

/** `code` is the system's word, such as ECONNREFUSED. */
class DatagramError extends Error {
  constructor(place: string, code: string) {
    super(`${place}: ${explain(code)} (${code})`);
  }
}

function explain(code: string): string {
  switch (code) {
    case "ENOENT":
      return "there is no such socket";
    case "ECONNREFUSED":
    case "ENOTCONN":
    case "ECONNRESET":
      return "nobody listens there";
    case "EAGAIN":
    case "ENOBUFS":
      return "its reader is too slow";
    case "EPROTOTYPE":
      return "it is no datagram socket";
    case "EACCES":
    case "EPERM":
      return "it may not be written to";
    case "EMSGSIZE":
      return "a datagram is too large, lower DOGSTATSD_MAX_BUFFER_SIZE";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its name has no address";
    default:
      return "it takes nothing";
  }
}

interface DatagramStreamOptions {
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

interface UdpPlace {
  readonly host: string;
  readonly port: number;
}

/** After which a machine nearby has said that nobody listens there. One far away never says so. */
const CONFIRM_MS = 5;

/** Rejects with a DatagramError. The name is looked up each time: agents move. */
export async function openUdp({ host, port }: UdpPlace): Promise<DatagramSocket> {
  const place = `UDP ${host}:${port}`;
  try {
    const { address, family } = await lookup(host);
    const socket = createSocket(family === 6 ? "udp6" : "udp4");
    const opened = new UdpSocket(socket, place);
    await new Promise<void>((resolve) => socket.connect(port, address, resolve));
    return opened;
  } catch (error) {
    throw new DatagramError(place, codeOf(error));
  }
}

/** Connected: only so does the system tell of what was refused. */
class UdpSocket implements DatagramSocket {
  readonly #socket: Socket;
  readonly #place: string;
  #refusal: unknown;

  constructor(socket: Socket, place: string) {
    this.#socket = socket;
    this.#place = place;
    socket.unref();
    socket.on("error", (error) => {
      this.#refusal ??= error;
    });
  }

  async send(datagram: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    this.#socket.send(datagram, resolve);
    this.#refusal ??= (await promise) ?? undefined;
    this.#throwRefusal();
  }

  async confirm(): Promise<void> {
    await sleep(CONFIRM_MS);
    this.#throwRefusal();
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #throwRefusal(): void {
    if (this.#refusal !== undefined) throw new DatagramError(this.#place, codeOf(this.#refusal));
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/** Throws a DatagramError. */
export function openUnix(path: string): DatagramSocket {
  return new UnixSocket(
    path,
    explained(path, () => openUnixDatagram(path)),
  );
}

class UnixSocket implements DatagramSocket {
  readonly #path: string;
  readonly #socket: UnixDatagram;

  constructor(path: string, socket: UnixDatagram) {
    this.#path = path;
    this.#socket = socket;
  }

  async send(datagram: Uint8Array): Promise<void> {
    explained(this.#path, () => this.#socket.send(datagram));
  }

  /** It was in the queue of its reader when `send` was over. */
  async confirm(): Promise<void> {}

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function explained<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UnixDatagramError ? new DatagramError(path, error.code) : error;
  }
}
