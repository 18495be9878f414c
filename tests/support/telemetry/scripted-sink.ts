import type { EventChunk } from "../../../src/log-events/chunk.ts";
import type { LogEventsEvent } from "../../../src/log-events/events.ts";
import { EventForwarder } from "../../../src/log-events/forwarder.ts";
import { MemoryQueue } from "../../../src/log-events/memory-queue.ts";
import type { EventGroup, EventSink, SendOutcome } from "../../../src/log-events/queue.ts";
import { FakeClock, settle } from "../common/fake-clock.ts";
import { strictSupervisor } from "../common/supervisors.ts";
import { textsOf } from "../log-events/event-batches.ts";

export interface SentRequest {
  readonly group: EventGroup;
  readonly events: readonly string[];
  readonly atMs: number;
}

export type Script = (request: SentRequest) => SendOutcome | Promise<SendOutcome>;

export const accepted: SendOutcome = { kind: "accepted" };
export const failed: SendOutcome = { kind: "retry", trouble: "upstream", detail: "connection refused" };

/** An upstream that does what the test says, and counts. */
export class ScriptedSink implements EventSink {
  readonly requests: SentRequest[] = [];
  readonly accepted: string[] = [];
  maxInFlight = 0;
  script: Script = () => accepted;
  readonly #clock: FakeClock;
  #inFlight = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  async send(group: EventGroup, chunks: readonly EventChunk[], signal: AbortSignal): Promise<SendOutcome> {
    const events = textsOf(chunks);
    const request = { group, events, atMs: this.#clock.now() };
    this.requests.push(request);
    this.maxInFlight = Math.max(this.maxInFlight, ++this.#inFlight);
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason), { once: true });
    aborted.promise.catch(() => {});
    try {
      const outcome = await Promise.race([this.script(request), aborted.promise]);
      if (outcome.kind === "accepted") this.accepted.push(...events);
      return outcome;
    } finally {
      this.#inFlight--;
    }
  }
}

/** A forwarder on a fake clock, between a memory queue and a scripted upstream. */
export function startForwarder() {
  const clock = new FakeClock();
  const sink = new ScriptedSink(clock);
  const queue = new MemoryQueue({ maxBatches: 100_000, maxBytes: 500_000_000 });
  const emitted: LogEventsEvent[] = [];
  const emit = (event: LogEventsEvent) => void emitted.push(event);
  const forwarder = new EventForwarder({
    supervisor: strictSupervisor(clock),
    queue,
    sink,
    clock,
    emit,
    settle: async () => ({ kept: 0, lost: queue.depth.events }),
    flushIntervalMs: 1_000,
  });
  forwarder.start();
  const grace = new AbortController();
  return {
    clock,
    sink,
    queue,
    forwarder,
    grace,
    ofKind: <K extends LogEventsEvent["kind"]>(kind: K) =>
      emitted.filter((event): event is Extract<LogEventsEvent, { kind: K }> => event.kind === kind),
    async [Symbol.asyncDispose]() {
      grace.abort();
      await forwarder.flush(grace.signal);
      await settle();
    },
  };
}
