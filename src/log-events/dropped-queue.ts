import { countEvents } from "./chunk.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import type { EventBatch, EventQueue, QueueDepth } from "./queue.ts";

const EMPTY: QueueDepth = { batches: 0, events: 0, bytes: 0 };

/** Drops all events: in offline mode, nothing may be sent to Statsig. Never has anything to claim. */
export class DroppedQueue implements EventQueue {
  readonly depth = EMPTY;
  readonly filled = 0;
  readonly #emit: EmitLogEventsEvent;

  constructor(emit: EmitLogEventsEvent) {
    this.#emit = emit;
  }

  async put({ group: { sdkKey }, chunks }: EventBatch): Promise<"queued"> {
    const detail = "offline mode without LOG_EVENT_STATSIG_ENDPOINT";
    this.#emit({
      kind: "log_events_dropped",
      sdkKey,
      events: countEvents(chunks),
      reason: "offline",
      detail,
    });
    return "queued";
  }

  async claim(): Promise<undefined> {}

  async ack(): Promise<void> {}

  async drop(): Promise<number> {
    return 0;
  }

  async nack(): Promise<void> {}

  nextDueAt(): undefined {}

  onPut(): void {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
