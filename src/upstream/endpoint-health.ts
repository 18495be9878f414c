import { backoffMs, MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { EndpointFailure } from "./events.ts";

/** An endpoint is ill after this many failures without a response between them: a single one may be chance. */
const ILL_AFTER = 2;

/** How often an endpoint is tried that works, as far as is known, but that is not in use. */
const STANDBY_TRY_MS = 60_000;

/** The weight of the last response in the average latency. */
const LATEST = 0.3;

/** How one endpoint of upstream responds. Times are ms since the Unix epoch unless they say otherwise. */
export class EndpointHealth {
  lastSuccessAt: number | undefined;
  lastFailure: (EndpointFailure & { readonly at: number }) | undefined;
  /** Since when it is ill. */
  failingSince: number | undefined;
  /** Since when its responses are older than what is held. */
  laggingSince: number | undefined;
  /** The average time until a response begins, in ms; undefined before the first one. */
  latencyMs: number | undefined;
  /** Whether its last response came from a relay. */
  isRelay = false;
  readonly #clock: Clock;
  readonly #intervalMs: () => number;
  #failures = 0;
  /** How often in a row it became ill again soon, or a try failed. */
  #attempt = 0;
  /** As in {@link Clock.elapsed}. */
  #nextTryAt = 0;
  #heldOffUntil = 0;
  #recoveredAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, intervalMs: () => number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** Whether other endpoints are to be asked first. */
  get isIll(): boolean {
    return this.failingSince !== undefined;
  }

  /** A response began `afterMs` after the request. */
  responded(afterMs: number): void {
    const before = this.latencyMs ?? afterMs;
    this.latencyMs = before + LATEST * (afterMs - before);
  }

  /** A response was complete and valid. `lags` is undefined if it has no version. Returns true if the endpoint was ill. */
  succeeded(lags: boolean | undefined): boolean {
    this.lastSuccessAt = this.#clock.now();
    if (lags !== undefined) this.laggingSince = lags ? (this.laggingSince ?? this.lastSuccessAt) : undefined;
    this.#failures = 0;
    if (!this.isIll) return false;
    this.failingSince = undefined;
    this.#recoveredAt = this.#clock.elapsed();
    return true;
  }

  /**
   * A request was of no use. `counts` is false if that says nothing about other requests. `retryAfterMs`: how long the endpoint asked
   * to wait.
   */
  failed(failure: EndpointFailure, { counts, retryAfterMs = 0 }: FailureWeight): void {
    const now = this.#clock.now();
    this.lastFailure = { ...failure, at: now };
    if (counts) this.#failures++;
    if (!this.isIll && this.#failures >= ILL_AFTER) this.#becomeIll(now);
    this.#tryLater(retryAfterMs);
  }

  #becomeIll(now: number): void {
    this.failingSince = now;
    // One that works for a moment now and then must not be tried more and more often.
    const wasIllLately = this.#clock.elapsed() - this.#recoveredAt < MAX_RETRY_DELAY_MS;
    this.#attempt = wasIllLately ? this.#attempt + 1 : 0;
  }

  #tryLater(retryAfterMs: number): void {
    const elapsed = this.#clock.elapsed();
    const firstMs = this.#intervalMs();
    const maxMs = Math.max(MAX_RETRY_DELAY_MS, firstMs);
    this.#heldOffUntil = Math.max(this.#heldOffUntil, elapsed + Math.min(retryAfterMs, maxMs));
    this.#nextTryAt = elapsed + backoffMs({ attempt: this.#attempt, firstMs, maxMs });
  }

  /**
   * Returns whether the endpoint, which is not in use, is due for a try. That counts as the try: of many requests at the same time,
   * only one gets true.
   */
  takeTry(): boolean {
    const elapsed = this.#clock.elapsed();
    if (elapsed < Math.max(this.#nextTryAt, this.#heldOffUntil)) return false;
    if (this.isIll) this.#attempt++;
    this.#nextTryAt = elapsed + Math.max(STANDBY_TRY_MS, this.#intervalMs());
    return true;
  }
}

interface FailureWeight {
  readonly counts: boolean;
  readonly retryAfterMs?: number | undefined;
}
