import { WakeSignal } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { countEvents, type EventChunk, heldBytes, splitChunk } from "./chunk.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import { MAX_IN_FLIGHT, retryDelayMs, UpstreamPace } from "./pace.ts";
import type { ClaimedEvents, EventQueue, EventSink, SendOutcome } from "./queue.ts";

interface EventSenderOptions {
  readonly queue: EventQueue;
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitLogEventsEvent;
  /** Ends everything. */
  readonly stop: AbortSignal;
  /** There may be room for more, or something less to wait for. */
  readonly onChange: () => void;
}

/** Memory of events whose group waits to be tried again: they are in memory even if the queue is a file. */
const MAX_PARKED_BYTES = 64_000_000;

const QUEUE_RETRY_MS = 1_000;

/** While the relay stops, nobody waits longer than this for the next try. */
const HURRIED_RETRY_MS = 500;

/** Brings upstream what was taken of the queue, each group tried again for as long as it takes. */
export class EventSender {
  readonly #options: EventSenderOptions;
  readonly #pace: UpstreamPace;
  readonly #deliveries = new Set<Promise<void>>();
  /** For those who wait to try again. */
  readonly #retry = new WakeSignal();
  #sending = 0;
  #parkedBytes = 0;
  #isHurried = false;

  constructor(options: EventSenderOptions) {
    this.#options = options;
    this.#pace = new UpstreamPace(options.sink, () => {
      this.#retry.notify();
      options.onChange();
    });
  }

  get hasRoom(): boolean {
    // While upstream is down, those who wait to try again find out when it is back.
    if (this.#pace.isDown && this.#deliveries.size > 0) return false;
    return this.#sending < MAX_IN_FLIGHT && this.#parkedBytes < MAX_PARKED_BYTES;
  }

  deliver(taken: ClaimedEvents): void {
    const delivery = this.#deliver(new SendAttempt(taken)).finally(() => {
      this.#deliveries.delete(delivery);
      this.#options.onChange();
    });
    this.#deliveries.add(delivery);
  }

  /** From now on nobody waits long to try again. */
  hurry(): void {
    this.#isHurried = true;
    this.#retry.notify();
  }

  /** After a stop: what was not sent is back in the queue. */
  async ended(): Promise<void> {
    await Promise.all(this.#deliveries);
  }

  /** Whatever ends it, its place is free again, and what was not sent is back in the queue. */
  async #deliver(delivery: SendAttempt): Promise<void> {
    this.#sending++;
    try {
      await this.#sendAll(delivery);
    } catch (error) {
      const { supervisor, clock, stop } = this.#options;
      supervisor.caught("event_delivery", error);
      // What is back in the queue may be taken again at once, to the same end.
      await clock.sleep(QUEUE_RETRY_MS, stop).catch(() => {});
    }
    this.#sending--;
    if (!delivery.isOver) {
      await this.#untilItWorks("release", () => this.#options.queue.nack(delivery.taken));
    }
  }

  async #sendAll(delivery: SendAttempt): Promise<void> {
    const { stop: signal } = this.#options;
    while (!delivery.isOver && !signal.aborted) {
      const piece = delivery.nextPiece();
      const startedAt = this.#options.clock.now();
      const outcome = await this.#send(delivery, piece);
      if (outcome === undefined) break;
      const givenUp = delivery.note(piece, outcome);
      this.#report({ delivery, events: countEvents(piece), outcome, givenUp, startedAt });
      await this.#settle(delivery, piece, outcome);
    }
  }

  async #settle(delivery: SendAttempt, piece: readonly EventChunk[], outcome: SendOutcome): Promise<void> {
    const { queue } = this.#options;
    const { taken } = delivery;
    switch (outcome.kind) {
      case "retry":
        await this.#park(delivery, piece, outcome);
        return;
      case "unauthorized": {
        const events = await this.#untilItWorks("remove", () => queue.drop(taken));
        if (events !== undefined) this.#reportDropped(taken, events, "refused", answered(outcome));
        return;
      }
      default:
        await this.#untilItWorks("remove", () => delivery.settle(queue));
    }
  }

  /** Undefined where the relay stops. */
  async #send({ taken }: SendAttempt, piece: readonly EventChunk[]): Promise<SendOutcome | undefined> {
    const { stop: signal } = this.#options;
    try {
      return await this.#pace.send(taken.group, piece, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      // A fault of ours must not become a loop without a pause.
      return { kind: "retry", trouble: "key", detail: `unexpected: ${String(error)}` };
    }
  }

  async #park(
    delivery: SendAttempt,
    piece: readonly EventChunk[],
    { afterMs, detail, trouble }: Extract<SendOutcome, { kind: "retry" }>,
  ): Promise<void> {
    const { clock, stop } = this.#options;
    const { taken, failures } = delivery;
    const isOutage = trouble === "key" || this.#pace.isDown;
    const delayMs = retryDelayMs({ failures, afterMs, isOutage });
    const retryInMs = this.#isHurried ? Math.min(delayMs, HURRIED_RETRY_MS) : delayMs;
    const { sdkKey } = taken.group;
    const events = countEvents(piece);
    this.#options.emit({ kind: "log_events_delayed", sdkKey, events, detail, retryInMs });
    const bytes = heldBytes(taken.chunks);
    this.#sending--;
    this.#parkedBytes += bytes;
    this.#options.onChange();
    await this.#retry.wait(retryInMs, clock, stop).catch(() => {});
    this.#parkedBytes -= bytes;
    this.#sending++;
  }

  /** What upstream has must leave the queue, or it would be sent again. Undefined if the relay stops before. */
  async #untilItWorks<T>(action: "remove" | "release", attempt: () => Promise<T>): Promise<T | undefined> {
    const { emit, clock } = this.#options;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        emit({ kind: "log_events_queue_failed", action, detail: String(error) });
      }
      if (this.#options.stop.aborted) return undefined;
      await clock.sleep(QUEUE_RETRY_MS, this.#options.stop).catch(() => {});
    }
  }

  #report({ delivery: { taken }, events, outcome, givenUp, startedAt }: Sent): void {
    const { emit, clock } = this.#options;
    const now = clock.now();
    if (outcome.kind === "accepted") {
      const { sdkKey } = taken.group;
      const waitedMs = now - taken.queuedAt;
      emit({ kind: "log_events_sent", sdkKey, events, tookMs: now - startedAt, waitedMs });
    }
    if (givenUp === 0) return;
    if (outcome.kind === "refused") this.#reportDropped(taken, givenUp, "refused", answered(outcome));
    else this.#reportDropped(taken, givenUp, "event_too_large", TOO_LARGE_ALONE);
  }

  #reportDropped(
    { group: { sdkKey } }: ClaimedEvents,
    events: number,
    reason: "refused" | "event_too_large",
    detail: string,
  ): void {
    this.#options.emit({ kind: "log_events_dropped", sdkKey, events, reason, detail });
  }
}

const TOO_LARGE_ALONE = "upstream answered 413 to this event alone";

const answered = ({ status }: { readonly status: number }) => `upstream answered ${status}`;

interface Sent {
  readonly delivery: SendAttempt;
  readonly events: number;
  readonly outcome: SendOutcome;
  readonly givenUp: number;
  readonly startedAt: number;
}

/** What was taken of one group, on its way to upstream: one request, or several in order if upstream wants them smaller. */
class SendAttempt {
  readonly taken: ClaimedEvents;
  readonly #left: EventChunk[];
  #maxEvents = Number.POSITIVE_INFINITY;
  #done = 0;
  #failures = 0;

  constructor(taken: ClaimedEvents) {
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
    if (this.isOver) await queue.ack(this.taken);
    else await queue.ack(this.taken, this.#done);
  }

  #finish(piece: readonly EventChunk[]): void {
    this.#done += countEvents(piece);
    this.#left.splice(0, piece.length);
  }
}
