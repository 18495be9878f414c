import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { untilAborted } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import { describeErrno } from "../../platform/errors.ts";
import { openUnixDatagram, type UnixDatagram, UnixDatagramError } from "../../platform/unix-datagram.ts";

/** A connected datagram socket. After an error it is closed and a new one is opened. */
export interface DatagramSocket extends Disposable {
  /** Rejects with a DatagramError. Does not wait for the receiver: a full receive queue is an error. */
  send(datagram: Uint8Array): Promise<void>;
  /** Rejects with a DatagramError if the system reports, shortly after sending, that a datagram did not arrive. */
  confirm(): Promise<void>;
}

/** Rejects with a DatagramError. */
type OpenSocket = () => Promise<DatagramSocket>;

/** `code` is a system error such as ECONNREFUSED. */
class DatagramError extends Error {
  constructor(place: string, code: string) {
    const message = describeErrno({ code }, ERROR_MESSAGES);
    super(`${place}: ${message === code ? code : `${message} (${code})`}`);
  }
}

const NOT_LISTENING = "nothing is listening there";
const TOO_SLOW = "the receiver is too slow";

/** Messages for errors that are more specific here than in the common table. */
const ERROR_MESSAGES: Readonly<Record<string, string>> = {
  ENOENT: "no such socket",
  ECONNREFUSED: NOT_LISTENING,
  ENOTCONN: NOT_LISTENING,
  ECONNRESET: NOT_LISTENING,
  EAGAIN: TOO_SLOW,
  ENOBUFS: TOO_SLOW,
  EPROTOTYPE: "not a datagram socket",
  EMSGSIZE: "datagram too large, lower DOGSTATSD_MAX_BUFFER_SIZE",
};

interface DatagramSenderOptions {
  readonly open: OpenSocket;
  readonly clock: Clock;
  readonly maxRetries: number;
  /** Delay before the first retry; doubled for each further one. */
  readonly retryDelayMs: number;
  /** Ends retries and connection attempts. */
  readonly signal: AbortSignal;
}

/** Sends the datagrams of one batch over one connection, and connects again when a datagram could not be sent. */
export class DatagramSender implements Disposable {
  readonly #options: DatagramSenderOptions;
  #socket: DatagramSocket | undefined;

  constructor(options: DatagramSenderOptions) {
    this.#options = options;
  }

  /** Rejects with the last error when all retries have failed or the signal is aborted. */
  async send(datagram: Uint8Array): Promise<void> {
    const { clock, maxRetries, retryDelayMs, signal } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#sendOnce(datagram);
        return;
      } catch (error) {
        this[Symbol.dispose]();
        if (attempt === maxRetries) throw error;
        await clock.sleep(retryDelayMs * 2 ** attempt, signal).catch(() => {
          throw error;
        });
      }
    }
  }

  /** Rejects if the system reports afterwards that a datagram did not arrive. */
  async confirm(): Promise<void> {
    await this.#socket?.confirm();
  }

  [Symbol.dispose](): void {
    this.#socket?.[Symbol.dispose]();
    this.#socket = undefined;
  }

  async #sendOnce(datagram: Uint8Array): Promise<void> {
    if (this.#socket !== undefined) {
      await this.#socket.send(datagram);
      return;
    }
    const socket = await this.#connect();
    this.#socket = socket;
    await socket.send(datagram);
    await socket.confirm();
  }

  /** Does not wait for a slow name lookup once the signal is aborted. */
  async #connect(): Promise<DatagramSocket> {
    const opening = this.#options.open();
    try {
      return await untilAborted(opening, this.#options.signal);
    } catch (error) {
      opening.then(
        (late) => late[Symbol.dispose](),
        () => undefined,
      );
      throw error;
    }
  }
}

interface UdpPlace {
  readonly host: string;
  readonly port: number;
}

/** Time within which this machine reports that nothing listens on a local port. A remote host may never report it. */
const CONFIRM_MS = 5;

/** Rejects with a DatagramError. The name is looked up each time, since the agent's address may change. */
export async function openUdp({ host, port }: UdpPlace): Promise<DatagramSocket> {
  const place = `UDP ${host}:${port}`;
  try {
    const { address, family } = await lookup(host);
    const socket = createSocket(family === 6 ? "udp6" : "udp4");
    const opened = new UdpSocket(socket, place);
    await connect(socket, port, address).catch((error) => {
      opened[Symbol.dispose]();
      throw error;
    });
    return opened;
  } catch (error) {
    throw new DatagramError(place, toCode(error));
  }
}

/** The callback gets an error when connecting fails, though its type does not say so. */
function connect(socket: Socket, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.connect(port, address, (error?: Error) => (error ? reject(error) : resolve()));
  });
}

/** The socket is connected: only then does the system report refused datagrams. */
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
    if (this.#refusal !== undefined) throw new DatagramError(this.#place, toCode(this.#refusal));
  }
}

function toCode(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? String(error.code) : error.message;
}

/** Throws a DatagramError. */
export function openUnix(path: string): DatagramSocket {
  return new UnixSocket(
    path,
    withPlace(path, () => openUnixDatagram(path)),
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
    withPlace(this.#path, () => this.#socket.send(datagram));
  }

  /** Nothing to wait for: when `send` resolves, the datagram is in the queue of the receiver. */
  async confirm(): Promise<void> {}

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function withPlace<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UnixDatagramError ? new DatagramError(path, error.code) : error;
  }
}
