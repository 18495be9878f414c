import { REQUEST_LIMITS } from "../log-events/chunk.ts";
import type {
  ClaimedEvents,
  ClaimLimits,
  EventBatch,
  EventQueue,
  EventsLeft,
  QueueDepth,
} from "../log-events/queue.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { Opening } from "../sqlite/opening.ts";
import type { EmitSpoolEvent } from "./events.ts";
import type { EventSpool } from "./spool.ts";

interface SpooledQueueOptions {
  /** Must not be opened yet. The queue opens and closes it. */
  readonly spool: EventSpool;
  readonly memory: EventQueue;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onProblem: EmitSpoolEvent;
}

/** On shutdown, the time limit for moving events from memory to the spool. */
const SHUTDOWN_MOVE_LIMIT_MS = 5_000;

const EVERYTHING: ClaimLimits = { ...REQUEST_LIMITS, dueBefore: Number.MAX_SAFE_INTEGER };

/**
 * Keeps events in the spool, which is opened in the background. While the spool can't be opened (another relay uses it, its disk
 * is read-only), keeps events in memory instead, and moves them to the spool as soon as it is open.
 */
export class SpooledQueue implements EventQueue {
  readonly #spool: EventSpool;
  readonly #memory: EventQueue;
  readonly #opening: Opening;
  readonly #clock: Clock;
  readonly #claimedFromMemory = new WeakSet<ClaimedEvents>();
  readonly #listeners: (() => void)[] = [];
  #isOpen = false;
  #moving: Promise<void> = Promise.resolve();

  constructor({ spool, memory, clock, supervisor, onProblem }: SpooledQueueOptions) {
    this.#spool = spool;
    this.#memory = memory;
    this.#clock = clock;
    this.#opening = new Opening({
      loop: "event_spool_opening",
      clock,
      supervisor,
      open: () => this.#open(),
      onUnusable: (reason) => {
        const detail = `${reason}; the relay keeps events in memory only and tries again`;
        onProblem({ kind: "spool_unusable", detail });
      },
      onUsable: (wasReported) => {
        if (wasReported) onProblem({ kind: "spool_usable" });
      },
    });
  }

  /** True if every event in the queue survives the process. */
  get isDurable(): boolean {
    return this.#isOpen && this.#memory.depth.batches === 0;
  }

  /**
   * Moves events from memory to the spool, if that is open, and resolves with how many events are on disk and how many will be
   * lost. Call it on shutdown, when no claim is open any more.
   */
  async settle(): Promise<EventsLeft> {
    if (this.#isOpen) await withTimeout(this.#moveToSpool(), SHUTDOWN_MOVE_LIMIT_MS, this.#clock);
    return { kept: this.#spool.depth.events, lost: this.#memory.depth.events };
  }

  get depth(): QueueDepth {
    const [a, b] = [this.#spool.depth, this.#memory.depth];
    return { batches: a.batches + b.batches, events: a.events + b.events, bytes: a.bytes + b.bytes };
  }

  get filled(): number {
    return Math.max(this.#spool.filled, this.#memory.filled);
  }

  nextDueAt(maxWaitMs: number): number | undefined {
    const due = [this.#spool.nextDueAt(maxWaitMs), this.#memory.nextDueAt(maxWaitMs)];
    const known = due.filter((each) => each !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  /** Also called when the spool is opened: events of an earlier process may wait there. */
  onPut(listener: () => void): void {
    this.#listeners.push(listener);
    this.#spool.onPut(listener);
    this.#memory.onPut(listener);
  }

  async put(batch: EventBatch): Promise<"queued" | "full"> {
    if (!this.#isOpen) await this.#opening.attempted();
    return this.#isOpen ? this.#spool.put(batch) : this.#memory.put(batch);
  }

  /** Events in memory come first: they are older, and they are lost with the process. */
  async claim(limits: ClaimLimits): Promise<ClaimedEvents | undefined> {
    const claimed = await this.#memory.claim(limits);
    if (claimed === undefined) return this.#isOpen ? this.#spool.claim(limits) : undefined;
    this.#claimedFromMemory.add(claimed);
    return claimed;
  }

  async ack(claimed: ClaimedEvents, count?: number): Promise<void> {
    await this.#findQueue(claimed).ack(claimed, count);
  }

  async drop(claimed: ClaimedEvents): Promise<number> {
    return this.#findQueue(claimed).drop(claimed);
  }

  async nack(claimed: ClaimedEvents): Promise<void> {
    await this.#findQueue(claimed).nack(claimed);
  }

  #findQueue(claimed: ClaimedEvents): EventQueue {
    return this.#claimedFromMemory.has(claimed) ? this.#memory : this.#spool;
  }

  /** Runs again every few seconds once the spool is open: events that were claimed from memory may be back there. */
  async #open(): Promise<void> {
    if (!this.#isOpen) {
      await this.#spool.open();
      this.#isOpen = true;
      for (const listener of this.#listeners) listener();
    }
    await this.#moveToSpool();
  }

  /** One move at a time: a second one would not see the events that the first has claimed. */
  #moveToSpool(): Promise<void> {
    this.#moving = this.#moving.catch(() => {}).then(() => this.#moveAll());
    return this.#moving;
  }

  /** Stops when the spool is full or fails. The rest stays in memory and is forwarded from there. */
  async #moveAll(): Promise<void> {
    for (;;) {
      const claimed = await this.#memory.claim(EVERYTHING);
      if (claimed === undefined) return;
      // The spool reports a failure itself.
      const put = await this.#spool.put(claimed).catch(() => "full");
      if (put === "full") return this.#memory.nack(claimed);
      await this.#memory.ack(claimed);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#opening.stop();
    await this.#spool[Symbol.asyncDispose]();
    await this.#memory[Symbol.asyncDispose]();
    await this.#opening[Symbol.asyncDispose]();
  }
}
