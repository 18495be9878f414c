import { once } from "node:events";
import type { Server, Socket } from "node:net";
import { socketDescriptor, tcpProgress } from "../platform/tcp-connection.ts";
import type { EmitLimitEvent } from "./limits.ts";

interface ConnectionLimitOptions {
  readonly maxConnections: number;
  readonly emit: EmitLimitEvent;
}

/** HTTP/2 does not tell when its last frames are out: as many looks in a row must find nothing on the way. */
const LOOKS_AT_NOTHING = 4;
const LOOK_EVERY_MS = 75;

/** Bounds the connections of a `node:` server, and cuts those that keep it waiting. */
export class ConnectionLimit {
  readonly #options: ConnectionLimitOptions;
  readonly #open = new Set<Socket>();
  readonly #deadlines = new Map<Socket, NodeJS.Timeout>();

  constructor(server: Server, options: ConnectionLimitOptions) {
    this.#options = options;
    server.on("connection", (socket: Socket) => this.#admit(socket));
  }

  get open(): number {
    return this.#open.size;
  }

  /**
   * Cuts the connection unless {@link arrived} is called in time. Not the socket's own timeout: each single byte
   * would begin it anew.
   */
  expectWithin(socket: Socket, ms: number, late?: () => void): void {
    this.arrived(socket);
    if (!this.#open.has(socket)) return;
    const cut = () => {
      this.#deadlines.delete(socket);
      late?.();
      socket.destroy();
    };
    this.#deadlines.set(socket, setTimeout(cut, ms).unref());
  }

  /** The client has done in time what it had to. */
  arrived(socket: Socket): void {
    clearTimeout(this.#deadlines.get(socket));
    this.#deadlines.delete(socket);
  }

  /** Resolves when clients have received all that was written, as far as the system says, and a moment has passed. */
  async flushed(): Promise<void> {
    for (let looks = 0; looks < LOOKS_AT_NOTHING; looks++) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      const isUnsent = [...this.#open].some(
        (socket) => (tcpProgress(socketDescriptor(socket))?.queuedBytes ?? 0) > 0,
      );
      if (isUnsent) looks = 0;
    }
  }

  cutAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** Ends every connection as soon as what was written is sent; resolves when all are closed. */
  async endAll(): Promise<void> {
    const closed = [...this.#open].map((socket) => once(socket, "close").catch(() => {}));
    for (const socket of this.#open) socket.end();
    await Promise.all(closed);
  }

  #admit(socket: Socket): void {
    const { maxConnections, emit } = this.#options;
    if (this.#open.size >= maxConnections) {
      emit({ kind: "limit_reached", limit: "max-connections" });
      socket.destroy();
      return;
    }
    this.#open.add(socket);
    socket.once("close", () => {
      this.arrived(socket);
      this.#open.delete(socket);
    });
  }
}

interface Handle {
  readonly pause: () => void;
  readonly resume: () => void;
}

const paused = new WeakSet<Socket>();

/**
 * Reads no more for so long; false where that is so already, or can't be done. By Bun's handle, since the socket's own
 * `pause` has no effect once HTTP/2 reads from it.
 */
export function pauseReading(socket: Socket, ms: number): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: Partial<Handle> | null };
  if (paused.has(socket) || handle?.pause === undefined) return false;
  paused.add(socket);
  handle.pause();
  const resume = () => {
    paused.delete(socket);
    if (!socket.destroyed) handle.resume?.();
  };
  setTimeout(resume, ms).unref();
  return true;
}
