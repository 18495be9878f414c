import { WakeSignal } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { REQUEST_LIMITS } from "./chunk.ts";
import { EventSender } from "./delivery.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import type { ClaimedEvents, EventQueue, EventSink, EventsLeft } from "./queue.ts";

interface ForwarderOptions {
  readonly queue: EventQueue;
  /** Puts what it can where it outlives the process, and tells what is left. Called when nothing is under way any longer. */
  readonly settle: () => Promise<EventsLeft>;
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitLogEventsEvent;
  /** How long events may wait for more of their group. */
  readonly flushIntervalMs: number;
}

/** Puts that come in a burst are looked at together. */
const AFTER_PUT_MS = 20;
const QUEUE_RETRY_MS = 1_000;
const LOOK_EVERY_MS = 500;
const IDLE_MS = 60_000;
const MIN_WAIT_MS = 5;

/**
 * Takes events out of the queue as they come to be due and has them brought upstream: each group by one request
 * at a time and in order, none held up by another that fails.
 */
export class EventForwarder implements AsyncDisposable {
  readonly #options: ForwarderOptions;
  readonly #stop = new AbortController();
  readonly #courier: EventSender;
  readonly #work = new WakeSignal();
  #isTakePlanned = false;
  #isFlushing = false;
  #running: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    const { queue, sink, clock, supervisor, emit } = options;
    this.#options = options;
    const onChange = () => this.#work.notify();
    this.#courier = new EventSender({
      queue,
      sink,
      clock,
      supervisor,
      emit,
      stop: this.#stop.signal,
      onChange,
    });
    queue.onPut(() => this.#takeSoon());
  }

  start(): void {
    this.#running ??= this.#options.supervisor.loop("event_forwarding", this.#stop.signal, (worked) =>
      this.#round(worked),
    );
  }

  /** From now on everything is due at once. */
  hurry(): void {
    this.#isFlushing = true;
    this.#courier.hurry();
    this.#work.notify();
  }

  /** Sends what it can until `grace` is aborted, then stops for good and reports what is left. */
  async flush(grace: AbortSignal): Promise<void> {
    const { queue, settle, emit } = this.#options;
    this.hurry();
    const over = aborted(grace);
    while (!grace.aborted && queue.depth.batches > 0) {
      await Promise.race([over, this.#wait(LOOK_EVERY_MS)]);
    }
    await this[Symbol.asyncDispose]();
    const { kept, lost } = await settle();
    if (kept > 0) emit({ kind: "log_events_left", events: kept, outcome: "kept" });
    if (lost > 0) emit({ kind: "log_events_left", events: lost, outcome: "lost" });
  }

  /** Stops at once, what was under way back in the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the relay is shutting down"));
    await this.#running;
    await this.#courier.ended();
  }

  async #round(worked: () => void): Promise<void> {
    const { queue, clock, flushIntervalMs } = this.#options;
    const works = await this.#takeWhatIsDue();
    const dueAt = queue.nextDueAt(this.#isFlushing ? 0 : flushIntervalMs);
    const untilDue = dueAt === undefined || !this.#courier.hasRoom ? IDLE_MS : dueAt - clock.now();
    worked();
    await this.#wait(works ? Math.min(IDLE_MS, Math.max(MIN_WAIT_MS, untilDue)) : QUEUE_RETRY_MS);
  }

  #takeSoon(): void {
    if (this.#isTakePlanned) return;
    this.#isTakePlanned = true;
    const take = () => {
      this.#isTakePlanned = false;
      this.#work.notify();
    };
    this.#options.clock.sleep(AFTER_PUT_MS, this.#stop.signal).then(take, () => {});
  }

  /** Resolves early when there may be work, or when the forwarder stops. */
  async #wait(ms: number): Promise<void> {
    await this.#work.wait(ms, this.#options.clock, this.#stop.signal).catch(() => {});
  }

  /** False where the queue does not work just now. */
  async #takeWhatIsDue(): Promise<boolean> {
    const { queue, clock, emit, flushIntervalMs } = this.#options;
    while (this.#courier.hasRoom && !this.#stop.signal.aborted) {
      const dueBefore = this.#isFlushing ? Number.MAX_SAFE_INTEGER : clock.now() - flushIntervalMs;
      let taken: ClaimedEvents | undefined;
      try {
        taken = await queue.claim({ ...REQUEST_LIMITS, dueBefore });
      } catch (error) {
        emit({ kind: "log_events_queue_failed", action: "take", detail: String(error) });
        return false;
      }
      if (taken === undefined) return true;
      this.#courier.deliver(taken);
    }
    return true;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
