import { backoffMs, MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import { countBytes } from "./chunk.ts";
import type { EventSink, SendOutcome } from "./queue.ts";

/** Requests in flight while upstream works. */
export const MAX_IN_FLIGHT = 16;

/** Events in flight, decompressed. A request with more goes out alone. */
const MAX_IN_FLIGHT_BYTES = 16_000_000;

/** So many failures in a row, and upstream counts as down: as many as may have been under way when it went. */
const DOWN_AFTER = MAX_IN_FLIGHT;

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * How much is asked of upstream at once. While it is down one request at a time goes out to see, each of them a
 * retry that has waited; the first that is answered opens it again.
 */
export class UpstreamPace {
  readonly #sink: EventSink;
  readonly #onRecovered: () => void;
  /** In the order in which they are sent. */
  readonly #waiting: Waiting[] = [];
  #inFlight = 0;
  #inFlightBytes = 0;
  #failuresInRow = 0;

  constructor(sink: EventSink, onRecovered: () => void) {
    this.#sink = sink;
    this.#onRecovered = onRecovered;
  }

  get isDown(): boolean {
    return this.#failuresInRow >= DOWN_AFTER;
  }

  async send(...[group, chunks, signal]: Parameters<EventSink["send"]>): Promise<SendOutcome> {
    const bytes = countBytes(chunks);
    await this.#slot(bytes);
    try {
      signal.throwIfAborted();
      const outcome = await this.#sink.send(group, chunks, signal);
      this.#note(outcome);
      return outcome;
    } finally {
      this.#inFlight--;
      this.#inFlightBytes -= bytes;
      this.#startNext();
    }
  }

  #slot(bytes: number): Promise<void> {
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

  #hasSlotFor({ bytes }: Waiting): boolean {
    if (this.#inFlight === 0) return true;
    const fits = this.#inFlightBytes + bytes <= MAX_IN_FLIGHT_BYTES;
    return fits && this.#inFlight < (this.isDown ? 1 : MAX_IN_FLIGHT);
  }

  #note(outcome: SendOutcome): void {
    const wasDown = this.isDown;
    const failed = outcome.kind === "retry" && outcome.trouble === "upstream";
    this.#failuresInRow = failed ? this.#failuresInRow + 1 : 0;
    if (wasDown && !this.isDown) this.#onRecovered();
  }
}

const FIRST_MS = 500;

/** While upstream takes others' events: there is no outage to wait for the end of. */
const MAX_MS = 5_000;
const MAX_IN_OUTAGE_MS = 30_000;

interface Failing {
  /** In a row. */
  readonly failures: number;
  /** What upstream asked for. */
  readonly afterMs: number | undefined;
  /** Nothing gets through, or nothing of this key. */
  readonly isOutage: boolean;
}

/** How long to wait: doubling, half of it random so that a fleet spreads, never shorter than upstream asks. */
export function retryDelayMs({ failures, afterMs, isOutage }: Failing, random = Math.random()): number {
  const own = backoffMs(
    { attempt: failures - 1, firstMs: FIRST_MS, maxMs: isOutage ? MAX_IN_OUTAGE_MS : MAX_MS },
    random,
  );
  return Math.max(own, Math.min(afterMs ?? 0, MAX_RETRY_DELAY_MS));
}
