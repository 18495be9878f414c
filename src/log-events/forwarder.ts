import { untilAborted, WakeSignal } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { REQUEST_LIMITS } from "./chunk.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import type { ClaimedEvents, EventQueue, EventSink, EventsLeft } from "./queue.ts";
import { EventSender } from "./sender.ts";

interface ForwarderOptions {
  readonly queue: EventQueue;
  /** Called last, when nothing is in flight: stores what it can on disk, and returns what is left. */
  readonly settle: () => Promise<EventsLeft>;
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitLogEventsEvent;
  /** How long events may wait for others of their group, in ms. */
  readonly flushIntervalMs: number;
}

/** Puts that follow each other within this time are handled together. */
const PUT_BURST_MS = 20;
const QUEUE_RETRY_MS = 1_000;
const FLUSH_CHECK_MS = 500;
const MAX_WAIT_MS = 60_000;
const MIN_WAIT_MS = 5;

/**
 * Claims events from the queue when they are due, and has them sent to upstream. Each group has one request in flight at a
 * time, so that its events stay in order; a group that fails does not delay others.
 */
export class EventForwarder implements AsyncDisposable {
  readonly #options: ForwarderOptions;
  readonly #stop = new AbortController();
  readonly #sender: EventSender;
  readonly #wake = new WakeSignal();
  #isWakePlanned = false;
  #isDraining = false;
  #running: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    const onChange = () => this.#wake.notify();
    this.#sender = new EventSender({ ...options, stop: this.#stop.signal, onChange });
    options.queue.onPut(() => this.#wakeSoon());
  }

  start(): void {
    this.#running ??= this.#options.supervisor.loop("event_forwarding", this.#stop.signal, (worked) =>
      this.#round(worked),
    );
  }

  /** Makes every event due at once from now on, and shortens the delay of retries. */
  drain(): void {
    this.#isDraining = true;
    this.#sender.drain();
    this.#wake.notify();
  }

  /** Drains the queue until it is empty or `flushDeadline` is aborted, then stops and reports what is left. */
  async flush(flushDeadline: AbortSignal): Promise<void> {
    const { queue, settle, emit } = this.#options;
    this.drain();
    while (!flushDeadline.aborted && queue.depth.batches > 0) {
      await untilAborted(this.#wait(FLUSH_CHECK_MS), flushDeadline).catch(() => {});
    }
    await this[Symbol.asyncDispose]();
    const { kept, lost } = await settle();
    if (kept > 0) emit({ kind: "log_events_left", events: kept, outcome: "kept" });
    if (lost > 0) emit({ kind: "log_events_left", events: lost, outcome: "lost" });
  }

  /** Stops at once. Events in flight return to the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the relay is shutting down"));
    await this.#running;
    await this.#sender.stopped();
  }

  async #round(worked: () => void): Promise<void> {
    const { queue, clock, flushIntervalMs } = this.#options;
    const queueWorks = await this.#sendDue();
    const dueAt = queue.nextDueAt(this.#isDraining ? 0 : flushIntervalMs);
    const untilDue = dueAt === undefined || !this.#sender.hasRoom ? MAX_WAIT_MS : dueAt - clock.now();
    worked();
    const waitMs = queueWorks ? Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, untilDue)) : QUEUE_RETRY_MS;
    await this.#wait(waitMs);
  }

  /** Claims and sends what is due. Returns false if the queue failed. */
  async #sendDue(): Promise<boolean> {
    const { queue, clock, emit, flushIntervalMs } = this.#options;
    while (this.#sender.hasRoom && !this.#stop.signal.aborted) {
      const dueBefore = this.#isDraining ? Number.MAX_SAFE_INTEGER : clock.now() - flushIntervalMs;
      let claimed: ClaimedEvents | undefined;
      try {
        claimed = await queue.claim({ ...REQUEST_LIMITS, dueBefore });
      } catch (error) {
        emit({ kind: "log_events_queue_failed", action: "take", detail: String(error) });
        return false;
      }
      if (claimed === undefined) return true;
      this.#sender.send(claimed);
    }
    return true;
  }

  #wakeSoon(): void {
    if (this.#isWakePlanned) return;
    this.#isWakePlanned = true;
    const wake = () => {
      this.#isWakePlanned = false;
      this.#wake.notify();
    };
    this.#options.clock.sleep(PUT_BURST_MS, this.#stop.signal).then(wake, () => {});
  }

  /** Resolves after `ms`, or earlier when there may be work or the forwarder stops. */
  async #wait(ms: number): Promise<void> {
    await this.#wake.wait(ms, this.#options.clock, this.#stop.signal).catch(() => {});
  }
}
