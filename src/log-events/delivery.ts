import { countEvents, type EventChunk, splitChunk } from "./event-chunk.ts";
import type { EventQueue, TakenEvents } from "./event-queue.ts";
import type { SendOutcome } from "./event-sink.ts";

/** What was taken of one group, on its way to upstream: one request, or several in order if upstream wants them smaller. */
export class Delivery {
  readonly taken: TakenEvents;
  readonly #left: EventChunk[];
  #maxEvents = Number.POSITIVE_INFINITY;
  #done = 0;
  #failures = 0;

  constructor(taken: TakenEvents) {
    this.taken = taken;
    this.#left = [...taken.chunks];
  }

  get isOver(): boolean {
    return this.#left.length === 0;
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  /** The chunks of the next request, with one event at least. */
  nextPiece(): readonly EventChunk[] {
    const [first] = this.#left;
    if (first !== undefined && first.count > this.#maxEvents) {
      this.#left.splice(0, 1, ...splitChunk(first, this.#maxEvents));
    }
    let events = 0;
    const over = this.#left.findIndex(({ count }) => {
      events += count;
      return events > this.#maxEvents;
    });
    return over < 0 ? [...this.#left] : this.#left.slice(0, Math.max(1, over));
  }

  /**
   * Takes note of how the piece fared; returns how many of its events are given up by that. After "unauthorized"
   * nothing of the group is sent: the queue drops it.
   */
  note(piece: readonly EventChunk[], outcome: SendOutcome): number {
    const events = countEvents(piece);
    this.#failures = outcome.kind === "retry" ? this.#failures + 1 : 0;
    switch (outcome.kind) {
      case "accepted":
        this.#finish(piece);
        return 0;
      case "refused":
        this.#finish(piece);
        return events;
      case "unauthorized":
        this.#left.length = 0;
        return 0;
      case "too_large":
        if (events > 1) {
          this.#maxEvents = Math.ceil(events / 2);
          return 0;
        }
        this.#finish(piece);
        return events;
      case "retry":
        return 0;
    }
  }

  /** Tells the queue what need not be kept any more. */
  async settle(queue: EventQueue): Promise<void> {
    if (this.isOver) await queue.remove(this.taken);
    else await queue.remove(this.taken, this.#done);
  }

  #finish(piece: readonly EventChunk[]): void {
    this.#done += countEvents(piece);
    this.#left.splice(0, piece.length);
  }
}
