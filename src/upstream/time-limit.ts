import { connect } from "node:net";
import type { Clock } from "../clock.ts";

/** No connection in this time: upstream is unreachable. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** From the request to the last byte of the answer. */
export const TOTAL_TIMEOUT_MS = 30_000;

/** How long a request may show no sign of life before we see for ourselves whether upstream takes connections. */
const PROBE_AFTER_MS = 5_000;

export class ConnectTimeout extends Error {}
export class TotalTimeout extends Error {}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Aborts its signal with {@link TotalTimeout}, or with {@link ConnectTimeout} where upstream takes no TCP
 * connection. `fetch` does not tell whether it has one yet, so a silent upstream is tried with another.
 */
export class TimeLimit implements Disposable {
  readonly #over = new AbortController();
  readonly #answered = new AbortController();
  readonly #limit = new AbortController();
  readonly #clock: Clock;
  readonly signal: AbortSignal;

  constructor(clock: Clock, address: Address | undefined, outer: AbortSignal) {
    this.#clock = clock;
    this.signal = AbortSignal.any([this.#limit.signal, outer]);
    this.#after(TOTAL_TIMEOUT_MS, this.#over.signal, () => this.#limit.abort(new TotalTimeout()));
    if (address !== undefined) {
      this.#after(PROBE_AFTER_MS, this.#answered.signal, () => this.#probe(address));
    }
  }

  /** The answer has begun: there is a connection. */
  answered(): void {
    this.#answered.abort();
  }

  #probe({ host, port }: Address): void {
    const socket = connect({ host, port });
    socket.on("connect", () => this.answered());
    // Refused or unknown: the request itself fails of it, with a better reason.
    socket.on("error", () => {});
    this.#answered.signal.addEventListener("abort", () => socket.destroy());
    const rest = CONNECT_TIMEOUT_MS - PROBE_AFTER_MS;
    this.#after(rest, this.#answered.signal, () => this.#limit.abort(new ConnectTimeout()));
  }

  #after(ms: number, unless: AbortSignal, act: () => void): void {
    this.#clock.sleep(ms, unless).then(act, () => {});
  }

  [Symbol.dispose](): void {
    this.#answered.abort();
    this.#over.abort();
  }
}
