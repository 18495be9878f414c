import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { DatagramError, type DatagramSocket } from "./statsd-socket.ts";

export interface UdpPlace {
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
