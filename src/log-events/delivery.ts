import type { EventQueue, TakenEvents } from "./event-queue.ts";
import type { SendOutcome } from "./event-sink.ts";

export interface PieceLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** What was taken of one group, on its way to upstream piece by piece, in order. */
export class Delivery {
  readonly taken: TakenEvents;
  readonly #maxBytes: number;
  #maxEvents: number;
  #done = 0;
  #failures = 0;

  constructor(taken: TakenEvents, { maxEvents, maxBytes }: PieceLimits) {
    this.taken = taken;
    this.#maxEvents = maxEvents;
    this.#maxBytes = maxBytes;
  }

  get isOver(): boolean {
    return this.#done >= this.taken.events.length;
  }

  /** From the first on, those that are sent or given up. */
  get done(): number {
    return this.#done;
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  /** The events of the next request, at least one: a batch that an SDK sent may be larger than a request of ours. */
  get piece(): readonly string[] {
    const { events } = this.taken;
    let bytes = 0;
    let end = this.#done;
    while (end < events.length && end - this.#done < this.#maxEvents) {
      bytes += Buffer.byteLength(events[end] ?? "");
      if (bytes > this.#maxBytes && end > this.#done) break;
      end++;
    }
    return events.slice(this.#done, end);
  }

  /** Takes note of how the piece fared; says how many events are given up by that. */
  note(piece: readonly string[], outcome: SendOutcome): number {
    this.#failures = outcome.kind === "retry" ? this.#failures + 1 : 0;
    switch (outcome.kind) {
      case "accepted":
        this.#done += piece.length;
        return 0;
      case "refused":
        this.#done += piece.length;
        return piece.length;
      case "too_large":
        if (piece.length > 1) {
          this.#maxEvents = Math.ceil(piece.length / 2);
          return 0;
        }
        this.#done++;
        return 1;
      case "retry":
        return 0;
    }
  }

  /** Tells the queue what need not be kept any more. */
  async settle(queue: EventQueue): Promise<void> {
    if (this.isOver) await queue.remove(this.taken);
    else await queue.remove(this.taken, this.#done);
  }
}
