import { backoffMs, MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import { countBytes } from "./chunk.ts";
import type { EventSink, SendOutcome } from "./queue.ts";

/** The limit of requests in flight while upstream works. */
export const MAX_IN_FLIGHT = 16;

/** The limit of events in flight, in bytes without compression. A larger request is sent while no other is in flight. */
const MAX_IN_FLIGHT_BYTES = 16_000_000;

/** Failures in a row after which upstream counts as down: as many as may have been in flight when it went down. */
const DOWN_AFTER_FAILURES = MAX_IN_FLIGHT;

interface WaitingRequest {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * Limits the requests to upstream that are in flight. While upstream is down, one request at a time is sent as a probe, which
 * is a retry that is due; the first that upstream responds to restores the full limit.
 */
export class UpstreamPace {
  readonly #sink: EventSink;
  readonly #onRecovered: () => void;
  /** In the order in which they will be sent. */
  readonly #waiting: WaitingRequest[] = [];
  #inFlight = 0;
  #inFlightBytes = 0;
  #failuresInRow = 0;

  constructor(sink: EventSink, onRecovered: () => void) {
    this.#sink = sink;
    this.#onRecovered = onRecovered;
  }

  /** Whether the last {@link DOWN_AFTER_FAILURES} requests failed because of upstream as a whole. */
  get isDown(): boolean {
    return this.#failuresInRow >= DOWN_AFTER_FAILURES;
  }

  /** Sends the events as soon as there is a slot. Rejects if the sink does, or when `signal` is aborted. */
  async send(...[group, chunks, signal]: Parameters<EventSink["send"]>): Promise<SendOutcome> {
    const bytes = countBytes(chunks);
    await this.#waitForSlot(bytes);
    try {
      signal.throwIfAborted();
      const outcome = await this.#sink.send(group, chunks, signal);
      this.#record(outcome);
      return outcome;
    } finally {
      this.#inFlight--;
      this.#inFlightBytes -= bytes;
      this.#startNext();
    }
  }

  #waitForSlot(bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ bytes, start: resolve });
    this.#startNext();
    return promise;
  }

  #startNext(): void {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || !this.#hasSlotFor(next)) return;
      this.#waiting.shift();
      this.#inFlight++;
      this.#inFlightBytes += next.bytes;
      next.start();
    }
  }

  #hasSlotFor({ bytes }: WaitingRequest): boolean {
    if (this.#inFlight === 0) return true;
    const fits = this.#inFlightBytes + bytes <= MAX_IN_FLIGHT_BYTES;
    return fits && this.#inFlight < (this.isDown ? 1 : MAX_IN_FLIGHT);
  }

  #record(outcome: SendOutcome): void {
    const wasDown = this.isDown;
    const failed = outcome.kind === "retry" && outcome.trouble === "upstream";
    this.#failuresInRow = failed ? this.#failuresInRow + 1 : 0;
    if (wasDown && !this.isDown) this.#onRecovered();
  }
}

const FIRST_MS = 500;

/** Applies while upstream accepts other events: this group does not have to wait for the end of an outage. */
const MAX_MS = 5_000;
const MAX_IN_OUTAGE_MS = 30_000;

interface FailedSends {
  /** Failures in a row, at least 1. */
  readonly failures: number;
  /** The delay that upstream asked for, in ms. */
  readonly afterMs: number | undefined;
  /** Upstream is down, or rejects everything of this SDK key. */
  readonly isOutage: boolean;
}

/** Returns the ms to wait before the next try: an exponential backoff, or what upstream asked for if that is longer (at most a minute). */
export function retryDelayMs({ failures, afterMs, isOutage }: FailedSends, random = Math.random()): number {
  const delayMs = backoffMs(
    { attempt: failures - 1, firstMs: FIRST_MS, maxMs: isOutage ? MAX_IN_OUTAGE_MS : MAX_MS },
    random,
  );
  return Math.max(delayMs, Math.min(afterMs ?? 0, MAX_RETRY_DELAY_MS));
}
