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
  /** Ends every request and every wait. */
  readonly stop: AbortSignal;
  /** Called when {@link EventSender.hasRoom} may have changed, or when a claim was settled. */
  readonly onChange: () => void;
}

/** The limit of claimed events that wait for a retry. They are in memory even if the queue is on disk. */
const MAX_PARKED_BYTES = 64_000_000;

const QUEUE_RETRY_MS = 1_000;

/** The longest delay of a retry while the relay drains. */
const DRAIN_RETRY_MS = 500;

/** Sends claimed events to upstream. Retries each claim until upstream accepts or refuses its events. */
export class EventSender {
  readonly #options: EventSenderOptions;
  readonly #pace: UpstreamPace;
  readonly #inFlight = new Set<Promise<void>>();
  /** Ends the delay of all retries. */
  readonly #retryNow = new WakeSignal();
  /** Claims in flight that do not wait for a retry. */
  #sending = 0;
  #parkedBytes = 0;
  #isDraining = false;

  constructor(options: EventSenderOptions) {
    this.#options = options;
    this.#pace = new UpstreamPace(options.sink, () => {
      this.#retryNow.notify();
      options.onChange();
    });
  }

  /** Whether another claim can be sent. */
  get hasRoom(): boolean {
    // While upstream is down, the claims that wait for a retry serve as probes.
    if (this.#pace.isDown && this.#inFlight.size > 0) return false;
    return this.#sending < MAX_IN_FLIGHT && this.#parkedBytes < MAX_PARKED_BYTES;
  }

  send(claimed: ClaimedEvents): void {
    const work = this.#sendClaim(new SendAttempt(claimed)).finally(() => {
      this.#inFlight.delete(work);
      this.#options.onChange();
    });
    this.#inFlight.add(work);
  }

  /** Shortens the delay of retries from now on. */
  drain(): void {
    this.#isDraining = true;
    this.#retryNow.notify();
  }

  /** Resolves after `stop` was aborted and every event that was not sent is back in the queue. */
  async stopped(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** However it ends, its slot is free again and what was not sent is back in the queue. Never rejects. */
  async #sendClaim(attempt: SendAttempt): Promise<void> {
    const { queue, supervisor, clock, stop } = this.#options;
    this.#sending++;
    try {
      await this.#sendAll(attempt);
    } catch (error) {
      supervisor.caught("event_delivery", error);
      // The events could be claimed again at once and fail again: do not loop without a pause.
      await clock.sleep(QUEUE_RETRY_MS, stop).catch(() => {});
    }
    this.#sending--;
    if (!attempt.isOver) await this.#retryQueue("release", () => queue.nack(attempt.claimed));
  }

  async #sendAll(attempt: SendAttempt): Promise<void> {
    const { stop, clock } = this.#options;
    while (!attempt.isOver && !stop.aborted) {
      const chunks = attempt.nextChunks();
      const startedAt = clock.now();
      const outcome = await this.#sendOnce(attempt, chunks);
      if (outcome === undefined) break;
      const givenUp = attempt.record(chunks, outcome);
      this.#report({ attempt, events: countEvents(chunks), outcome, givenUp, startedAt });
      await this.#settle(attempt, chunks, outcome);
    }
  }

  /** Returns undefined if the relay stops. */
  async #sendOnce({ claimed }: SendAttempt, chunks: readonly EventChunk[]): Promise<SendOutcome | undefined> {
    const { stop } = this.#options;
    try {
      return await this.#pace.send(claimed.group, chunks, stop);
    } catch (error) {
      if (stop.aborted) return undefined;
      // Treated as a retry, so that a bug does not become a loop without a pause.
      return { kind: "retry", trouble: "key", detail: `unexpected: ${String(error)}` };
    }
  }

  async #settle(attempt: SendAttempt, chunks: readonly EventChunk[], outcome: SendOutcome): Promise<void> {
    const { queue } = this.#options;
    const { claimed } = attempt;
    switch (outcome.kind) {
      case "retry":
        await this.#waitForRetry(attempt, chunks, outcome);
        return;
      case "unauthorized": {
        const events = await this.#retryQueue("remove", () => queue.drop(claimed));
        if (events !== undefined) this.#reportDropped(claimed, events, "refused", describeStatus(outcome));
        return;
      }
      default:
        await this.#retryQueue("remove", () => attempt.acknowledge(queue));
    }
  }

  async #waitForRetry(
    { claimed, failures }: SendAttempt,
    chunks: readonly EventChunk[],
    { afterMs, detail, trouble }: Extract<SendOutcome, { kind: "retry" }>,
  ): Promise<void> {
    const { clock, stop } = this.#options;
    const isOutage = trouble === "key" || this.#pace.isDown;
    const delayMs = retryDelayMs({ failures, afterMs, isOutage });
    const retryInMs = this.#isDraining ? Math.min(delayMs, DRAIN_RETRY_MS) : delayMs;
    const { sdkKey } = claimed.group;
    const events = countEvents(chunks);
    this.#options.emit({ kind: "log_events_delayed", sdkKey, events, detail, trouble, retryInMs });
    const bytes = heldBytes(claimed.chunks);
    this.#sending--;
    this.#parkedBytes += bytes;
    this.#options.onChange();
    await this.#retryNow.wait(retryInMs, clock, stop).catch(() => {});
    this.#parkedBytes -= bytes;
    this.#sending++;
  }

  /**
   * Retries an operation of the queue until it succeeds: events that upstream has must leave the queue, or they would be sent
   * again. Returns undefined if the relay stops before.
   */
  async #retryQueue<T>(action: "remove" | "release", operation: () => Promise<T>): Promise<T | undefined> {
    const { emit, clock, stop } = this.#options;
    for (;;) {
      try {
        return await operation();
      } catch (error) {
        emit({ kind: "log_events_queue_failed", action, detail: String(error) });
      }
      if (stop.aborted) return undefined;
      await clock.sleep(QUEUE_RETRY_MS, stop).catch(() => {});
    }
  }

  #report({ attempt: { claimed }, events, outcome, givenUp, startedAt }: SentRequest): void {
    const { emit, clock } = this.#options;
    const now = clock.now();
    if (outcome.kind === "accepted") {
      const { sdkKey } = claimed.group;
      const waitedMs = now - claimed.queuedAt;
      emit({ kind: "log_events_sent", sdkKey, events, tookMs: now - startedAt, waitedMs });
    }
    if (givenUp === 0) return;
    if (outcome.kind === "refused") {
      this.#reportDropped(claimed, givenUp, "refused", describeStatus(outcome));
    } else this.#reportDropped(claimed, givenUp, "event_too_large", SINGLE_EVENT_TOO_LARGE);
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

const SINGLE_EVENT_TOO_LARGE = "upstream answered 413 to a single event";

const describeStatus = ({ status }: { readonly status: number }) => `upstream answered ${status}`;

interface SentRequest {
  readonly attempt: SendAttempt;
  readonly events: number;
  readonly outcome: SendOutcome;
  readonly givenUp: number;
  readonly startedAt: number;
}

/** The progress of one claim: it is sent in one request, or in several in order if upstream wants smaller ones. */
class SendAttempt {
  readonly claimed: ClaimedEvents;
  readonly #left: EventChunk[];
  #maxEvents = Number.POSITIVE_INFINITY;
  /** Events that upstream accepted or that were given up. */
  #done = 0;
  #failures = 0;

  constructor(claimed: ClaimedEvents) {
    this.claimed = claimed;
    this.#left = [...claimed.chunks];
  }

  get isOver(): boolean {
    return this.#left.length === 0;
  }

  /** Failures in a row that are retried. */
  get failures(): number {
    return this.#failures;
  }

  /** Returns the chunks of the next request, which have at least one event. */
  nextChunks(): readonly EventChunk[] {
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
   * Records the outcome of a request with these chunks. Returns how many of its events are given up. After "unauthorized",
   * nothing more is sent: the queue drops the whole group.
   */
  record(chunks: readonly EventChunk[], outcome: SendOutcome): number {
    const events = countEvents(chunks);
    this.#failures = outcome.kind === "retry" ? this.#failures + 1 : 0;
    switch (outcome.kind) {
      case "accepted":
        this.#finish(chunks);
        return 0;
      case "refused":
        this.#finish(chunks);
        return events;
      case "unauthorized":
        this.#left.length = 0;
        return 0;
      case "too_large":
        if (events > 1) {
          this.#maxEvents = Math.ceil(events / 2);
          return 0;
        }
        this.#finish(chunks);
        return events;
      case "retry":
        return 0;
    }
  }

  /** Deletes the events that are done from the queue. */
  async acknowledge(queue: EventQueue): Promise<void> {
    if (this.isOver) await queue.ack(this.claimed);
    else await queue.ack(this.claimed, this.#done);
  }

  #finish(chunks: readonly EventChunk[]): void {
    this.#done += countEvents(chunks);
    this.#left.splice(0, chunks.length);
  }
}
