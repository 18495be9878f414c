import { untilAborted, withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";

interface CollectParts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Receives what threads reply to an order, on a channel of its own. */
export class Replies<Reply> implements Disposable {
  /** What the order gives as `replyTo`. */
  readonly name = `profiling-${crypto.randomUUID()}`;
  readonly received: Reply[] = [];
  readonly #channel = new BroadcastChannel(this.name);
  #onReply: () => void = () => {};

  constructor() {
    this.#channel.onmessage = ({ data }: { readonly data: Reply }) => {
      this.received.push(data);
      this.#onReply();
    };
  }

  /** Resolves when {@link received} is complete, or after `ms` milliseconds. Rejects with the reason of the signal. */
  async collect(isComplete: () => boolean, ms: number, { clock, signal }: CollectParts): Promise<void> {
    const complete = Promise.withResolvers<void>();
    this.#onReply = () => {
      if (isComplete()) complete.resolve();
    };
    this.#onReply();
    await untilAborted(withTimeout(complete.promise, ms, clock), signal);
  }

  [Symbol.dispose](): void {
    this.#channel.close();
  }
}
