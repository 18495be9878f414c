import type { Socket } from "node:net";
import { type Alpn, connectTo } from "./raw-connection.ts";

/** What an attacker sends on one connection. */
export interface AttackScript {
  /** Sent once at the start. */
  readonly opening: Buffer;
  /** Sent repeatedly after that. */
  readonly unit: (number: number) => Buffer;
  readonly alpn: Alpn;
  /** Leaves all responses unread. */
  readonly isDeaf: boolean;
}

/** The most units in one write, and the most bytes that may wait in this process. */
const BURST = 500;
const MAX_BUFFERED_BYTES = 256 * 1024;

/** One connection of an attacker. */
export class AttackConnection implements Disposable {
  readonly #script: AttackScript;
  readonly #socket: Socket;
  readonly #openedAt = performance.now();
  #sent = 0;
  #state: "opening" | "open" | "closed" = "opening";

  constructor(url: string, script: AttackScript) {
    this.#script = script;
    const { socket, connected } = connectTo(url, script.alpn);
    this.#socket = socket;
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#state = "closed";
    });
    socket.once(connected, () => {
      this.#state = "open";
      socket.write(script.opening);
      if (script.isDeaf) socket.pause();
      else socket.resume();
    });
  }

  get state(): "opening" | "open" | "closed" {
    return this.#state;
  }

  /** Sends what is due by now at this rate, at most one write. Returns the number of units. */
  send(perSecond: number): number {
    if (this.#state !== "open" || this.#socket.writableLength > MAX_BUFFERED_BYTES) return 0;
    const due = Math.floor(((performance.now() - this.#openedAt) * perSecond) / 1_000) - this.#sent;
    const units = Array.from({ length: Math.min(due, BURST) }, (_, at) => this.#script.unit(this.#sent + at));
    if (units.length > 0) this.#socket.write(Buffer.concat(units));
    this.#sent += units.length;
    return units.length;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
