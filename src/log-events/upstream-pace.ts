import PQueue from "p-queue";
import type { EventSink, SendOutcome } from "./event-sink.ts";

/** Requests in flight while upstream works. */
export const MAX_IN_FLIGHT = 16;

/** So many failures in a row, and upstream counts as down: as many as may have been under way when it went. */
const DOWN_AFTER = MAX_IN_FLIGHT;

/**
 * How much is asked of upstream at once. While it is down one request at a time goes out to see, each of them a
 * retry that has waited; the first that is answered opens it again.
 */
export class UpstreamPace {
  readonly #sink: EventSink;
  readonly #onRecovered: () => void;
  readonly #slots = new PQueue({ concurrency: MAX_IN_FLIGHT });
  #failuresInRow = 0;

  constructor(sink: EventSink, onRecovered: () => void) {
    this.#sink = sink;
    this.#onRecovered = onRecovered;
  }

  get isDown(): boolean {
    return this.#failuresInRow >= DOWN_AFTER;
  }

  async send(...[group, events, signal]: Parameters<EventSink["send"]>): Promise<SendOutcome> {
    return this.#slots.add(async () => {
      signal.throwIfAborted();
      const outcome = await this.#sink.send(group, events, signal);
      this.#note(outcome);
      return outcome;
    });
  }

  #note(outcome: SendOutcome): void {
    const wasDown = this.isDown;
    const failed = outcome.kind === "retry" && outcome.trouble === "upstream";
    this.#failuresInRow = failed ? this.#failuresInRow + 1 : 0;
    this.#slots.concurrency = this.isDown ? 1 : MAX_IN_FLIGHT;
    if (wasDown && !this.isDown) this.#onRecovered();
  }
}
