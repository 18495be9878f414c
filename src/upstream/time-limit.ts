import { connect } from "node:net";
import type { Clock } from "../platform/clock.ts";

/** Upstream is unreachable if there is no connection within this time. */
const CONNECT_TIMEOUT_MS = 10_000;

/** How long upstream may send nothing: before the headers of its response, and between two chunks of the body. */
export const SILENCE_LIMIT_MS = 10_000;

/**
 * A body that trickles in must not take forever: after this time, it must have come at this average rate. The rate is low on
 * purpose: many large bodies share a slow link, and each of them is worth waiting for.
 */
export const SLOW_AFTER_MS = 30_000;
export const MIN_BYTES_PER_S = 1_024;

/** How often the limits are checked, and how long a request may be silent before the address is probed with a connection. */
const CHECK_EVERY_MS = 5_000;

/** The reason for aborting a request. */
export class TimeLimitReached extends Error {
  readonly failure: "unreachable" | "timeout";

  constructor(failure: "unreachable" | "timeout", message: string) {
    super(message);
    this.failure = failure;
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Aborts its signal with {@link TimeLimitReached} when a request makes no progress. The total time is not limited: a large body
 * over a slow link takes as long as it takes. `fetch` does not report whether it has a connection, so if upstream is silent, a
 * probe connection shows whether it is reachable.
 */
export class TimeLimit implements Disposable {
  readonly #over = new AbortController();
  readonly #limit = new AbortController();
  readonly #clock: Clock;
  readonly #address: Address | undefined;
  readonly #responseWithinMs: number;
  readonly #startedAt: number;
  #connection: "assumed" | "probing" | "seen" = "assumed";
  #respondedAt: number | undefined;
  #lastByteAt = 0;
  #bytes = 0;
  readonly signal: AbortSignal;

  /** `address`: undefined if a proxy connects. `responseWithinMs`: time limit until the response begins. */
  constructor(
    clock: Clock,
    address: Address | undefined,
    outer: AbortSignal,
    responseWithinMs: number = SILENCE_LIMIT_MS,
  ) {
    this.#clock = clock;
    this.#address = address;
    this.#responseWithinMs = responseWithinMs;
    this.#startedAt = clock.elapsed();
    this.signal = AbortSignal.any([this.#limit.signal, outer]);
    // Rejects only when it is disposed.
    void this.#watch().catch(() => undefined);
  }

  /** The response has begun, so there is a connection. */
  responded(): void {
    this.#connection = "seen";
    this.#lastByteAt = this.#clock.elapsed();
    this.#respondedAt = this.#lastByteAt;
  }

  /** A chunk of the body arrived. */
  received(bytes: number): void {
    this.#bytes += bytes;
    this.#lastByteAt = this.#clock.elapsed();
  }

  async #watch(): Promise<void> {
    for (;;) {
      const { atMs, reason } = this.#deadline();
      const leftMs = atMs - this.#clock.elapsed();
      if (leftMs <= 0) return this.#limit.abort(reason());
      // While this sleeps, no deadline moves closer than the next check.
      await this.#clock.sleep(Math.min(leftMs, CHECK_EVERY_MS), this.#over.signal);
      if (this.#respondedAt === undefined) this.#probeConnection();
    }
  }

  #deadline(): Deadline {
    return this.#respondedAt === undefined ? this.#responseDeadline() : this.#bodyDeadline(this.#respondedAt);
  }

  #responseDeadline(): Deadline {
    if (this.#connection === "probing") {
      const reason = `no connection to upstream within ${CONNECT_TIMEOUT_MS / 1_000} s`;
      return deadline(this.#startedAt + CONNECT_TIMEOUT_MS, "unreachable", reason);
    }
    const reason = `no response from upstream within ${this.#responseWithinMs / 1_000} s`;
    return deadline(this.#startedAt + this.#responseWithinMs, "timeout", reason);
  }

  #bodyDeadline(respondedAt: number): Deadline {
    const silentAt = this.#lastByteAt + SILENCE_LIMIT_MS;
    const slowAt = respondedAt + SLOW_AFTER_MS + (this.#bytes / MIN_BYTES_PER_S) * 1_000;
    if (slowAt < silentAt) {
      return deadline(
        slowAt,
        "timeout",
        `upstream sends its response at less than ${MIN_BYTES_PER_S} bytes/s`,
      );
    }
    const reason = `upstream stopped in the middle of its response: no data for ${SILENCE_LIMIT_MS / 1_000} s`;
    return deadline(silentAt, "timeout", reason);
  }

  #probeConnection(): void {
    if (this.#connection !== "assumed" || this.#address === undefined) return;
    this.#connection = "probing";
    const socket = connect(this.#address);
    socket.on("connect", () => {
      this.#connection = "seen";
      socket.destroy();
    });
    // If the host is unknown or refuses, the request itself fails, with a better reason.
    socket.on("error", () => {});
    this.#over.signal.addEventListener("abort", () => socket.destroy());
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }
}

interface Deadline {
  readonly atMs: number;
  readonly reason: () => TimeLimitReached;
}

function deadline(atMs: number, failure: TimeLimitReached["failure"], message: string): Deadline {
  return { atMs, reason: () => new TimeLimitReached(failure, message) };
}
