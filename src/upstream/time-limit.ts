import { connect } from "node:net";
import type { Clock } from "../platform/clock.ts";

/** No connection in this time: upstream is unreachable. */
const CONNECT_TIMEOUT_MS = 10_000;

/** How long upstream may send nothing: before the headers of its answer, and between two pieces of the body. */
export const SILENCE_LIMIT_MS = 10_000;

/**
 * What upstream sends in a trickle must not take for ever: after this time, the body must have come at this rate on
 * average. It is low on purpose: many large bodies share a slow link, and each of them is worth waiting for.
 */
export const SLOW_AFTER_MS = 30_000;
export const MIN_BYTES_PER_S = 1_024;

/** How often we look, and how long a request may show no sign of life before we try a connection ourselves. */
const LOOK_EVERY_MS = 5_000;

/** Why a request was ended. */
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
 * Aborts its signal with {@link TimeLimitReached} when a request makes no progress. There is no limit on a whole
 * request: a large body over a slow link takes as long as it takes. `fetch` does not tell whether it has a connection
 * yet, so a silent upstream is tried with another one.
 */
export class TimeLimit implements Disposable {
  readonly #over = new AbortController();
  readonly #limit = new AbortController();
  readonly #clock: Clock;
  readonly #address: Address | undefined;
  readonly #answerWithinMs: number;
  readonly #startedAt: number;
  #connection: "assumed" | "tried" | "seen" = "assumed";
  #answeredAt: number | undefined;
  #heardAt = 0;
  #bytes = 0;
  readonly signal: AbortSignal;

  /** `address`: undefined if a proxy makes the connection. `answerWithinMs`: until the answer begins. */
  constructor(
    clock: Clock,
    address: Address | undefined,
    outer: AbortSignal,
    answerWithinMs: number = SILENCE_LIMIT_MS,
  ) {
    this.#clock = clock;
    this.#address = address;
    this.#answerWithinMs = answerWithinMs;
    this.#startedAt = clock.elapsed();
    this.signal = AbortSignal.any([this.#limit.signal, outer]);
    // Ends by the abort.
    void this.#watch().catch(() => undefined);
  }

  /** The answer has begun: there is a connection. */
  answered(): void {
    this.#connection = "seen";
    this.#heardAt = this.#clock.elapsed();
    this.#answeredAt = this.#heardAt;
  }

  /** More of the body is here. */
  received(bytes: number): void {
    this.#bytes += bytes;
    this.#heardAt = this.#clock.elapsed();
  }

  async #watch(): Promise<void> {
    for (;;) {
      const { atMs, reason } = this.#deadline();
      const leftMs = atMs - this.#clock.elapsed();
      if (leftMs <= 0) return this.#limit.abort(reason());
      // No deadline comes nearer than that while we sleep.
      await this.#clock.sleep(Math.min(leftMs, LOOK_EVERY_MS), this.#over.signal);
      if (this.#answeredAt === undefined) this.#tryConnection();
    }
  }

  #deadline(): Deadline {
    return this.#answeredAt === undefined ? this.#answerDeadline() : this.#bodyDeadline(this.#answeredAt);
  }

  #answerDeadline(): Deadline {
    if (this.#connection === "tried") {
      const reason = `no connection to upstream within ${CONNECT_TIMEOUT_MS / 1_000} s`;
      return deadline(this.#startedAt + CONNECT_TIMEOUT_MS, "unreachable", reason);
    }
    const reason = `no answer from upstream within ${this.#answerWithinMs / 1_000} s`;
    return deadline(this.#startedAt + this.#answerWithinMs, "timeout", reason);
  }

  #bodyDeadline(answeredAt: number): Deadline {
    const silentAt = this.#heardAt + SILENCE_LIMIT_MS;
    const slowAt = answeredAt + SLOW_AFTER_MS + (this.#bytes / MIN_BYTES_PER_S) * 1_000;
    if (slowAt < silentAt) {
      return deadline(slowAt, "timeout", `upstream sends its answer at less than ${MIN_BYTES_PER_S} bytes/s`);
    }
    const reason = `upstream stopped in the middle of its answer: nothing for ${SILENCE_LIMIT_MS / 1_000} s`;
    return deadline(silentAt, "timeout", reason);
  }

  #tryConnection(): void {
    if (this.#connection !== "assumed" || this.#address === undefined) return;
    this.#connection = "tried";
    const socket = connect(this.#address);
    socket.on("connect", () => {
      this.#connection = "seen";
      socket.destroy();
    });
    // Refused or unknown: the request itself fails of it, with a better reason.
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
