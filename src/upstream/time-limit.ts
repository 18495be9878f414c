import { connect } from "node:net";
import type { Clock } from "../platform/clock.ts";

/** Limits of one request to upstream, in ms. */
export interface TimeLimits {
  /** Upstream is unreachable if there is no connection within this time. */
  readonly connectMs: number;
  /** How long upstream may send nothing: before the headers of its response, and between two chunks of the body. */
  readonly readMs: number;
  /** How long upstream may send nothing before the headers of its response; `readMs` by default. */
  readonly responseMs?: number;
  /** Limit of the whole request. Undefined if a body may take as long as it takes while it makes progress. */
  readonly totalMs: number | undefined;
}

export const DEFAULT_LIMITS: TimeLimits = { connectMs: 10_000, readMs: 10_000, totalMs: undefined };

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

/** Where a request goes, and how long it may take. */
interface LimitedTarget {
  /** Undefined if a proxy connects. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  readonly limits: TimeLimits;
}

/**
 * Aborts its signal with {@link TimeLimitReached} when a request makes no progress. Unless `totalMs` is given, the total time is
 * not limited: a large body over a slow link takes as long as it takes. `fetch` does not report whether it has a connection, so if
 * upstream is silent, a probe connection shows whether it is reachable.
 */
export class TimeLimit implements Disposable {
  readonly #over = new AbortController();
  readonly #limit = new AbortController();
  readonly #clock: Clock;
  readonly #target: LimitedTarget;
  readonly #startedAt: number;
  #connection: "assumed" | "probing" | "seen" = "assumed";
  #respondedAt: number | undefined;
  #lastByteAt = 0;
  #bytes = 0;
  readonly signal: AbortSignal;

  constructor(clock: Clock, target: LimitedTarget, outer: AbortSignal) {
    this.#clock = clock;
    this.#target = target;
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
      await this.#clock.sleep(Math.min(leftMs, this.#checkEveryMs()), this.#over.signal);
      if (this.#respondedAt === undefined) this.#probeConnection();
    }
  }

  /** Early enough that the probe can connect, or fail to, within the limit. */
  #checkEveryMs(): number {
    return Math.min(CHECK_EVERY_MS, this.#target.limits.connectMs / 2);
  }

  #deadline(): Deadline {
    const progress =
      this.#respondedAt === undefined ? this.#responseDeadline() : this.#bodyDeadline(this.#respondedAt);
    const { totalMs } = this.#target.limits;
    if (totalMs === undefined || progress.atMs <= this.#startedAt + totalMs) return progress;
    const reason = `the request took longer than ${totalMs / 1_000} s (--http-request-timeout-in-s)`;
    return deadline(this.#startedAt + totalMs, "timeout", reason);
  }

  #responseDeadline(): Deadline {
    const { connectMs, readMs, responseMs = readMs } = this.#target.limits;
    if (this.#connection === "probing" && connectMs <= responseMs) {
      const reason = `no connection to upstream within ${connectMs / 1_000} s`;
      return deadline(this.#startedAt + connectMs, "unreachable", reason);
    }
    const reason = `no response from upstream within ${responseMs / 1_000} s`;
    return deadline(this.#startedAt + responseMs, "timeout", reason);
  }

  #bodyDeadline(respondedAt: number): Deadline {
    const { readMs, totalMs } = this.#target.limits;
    const silentAt = this.#lastByteAt + readMs;
    const slowAt = respondedAt + SLOW_AFTER_MS + (this.#bytes / MIN_BYTES_PER_S) * 1_000;
    if (totalMs === undefined && slowAt < silentAt) {
      return deadline(
        slowAt,
        "timeout",
        `upstream sends its response at less than ${MIN_BYTES_PER_S} bytes/s`,
      );
    }
    const reason = `upstream stopped in the middle of its response: no data for ${readMs / 1_000} s`;
    return deadline(silentAt, "timeout", reason);
  }

  #probeConnection(): void {
    const { address } = this.#target;
    if (this.#connection !== "assumed" || address === undefined) return;
    this.#connection = "probing";
    const socket = connect(address);
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
