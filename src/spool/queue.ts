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
import { Opening } from "../sqlite/managed-file.ts";
import type { EmitSpoolEvent } from "./events.ts";
import type { EventSpool } from "./spool.ts";

interface SpooledQueueOptions {
  /** Not opened yet. */
  readonly spool: EventSpool;
  readonly memory: EventQueue;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onProblem: EmitSpoolEvent;
}

/** How long a relay that stops waits for the spool to take what is in memory. */
const SETTLE_LIMIT_MS = 5_000;

const EVERYTHING: ClaimLimits = { ...REQUEST_LIMITS, dueBefore: Number.MAX_SAFE_INTEGER };

/**
 * Keeps events in the spool, which is opened in the background, and in memory for as long as the spool can't be used: another
 * relay may have it, or its disk be read-only. What waits in memory goes to the spool once that is open.
 */
export class SpooledQueue implements EventQueue {
  readonly #spool: EventSpool;
  readonly #memory: EventQueue;
  readonly #opening: Opening;
  readonly #clock: Clock;
  readonly #takenFromMemory = new WeakSet<ClaimedEvents>();
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
        const detail = `${reason}; the relay keeps events in memory only, and tries again`;
        onProblem({ kind: "spool_unusable", detail });
      },
      onUsable: (wasReported) => {
        if (wasReported) onProblem({ kind: "spool_usable" });
      },
    });
  }

  /** All that is kept outlives the process. */
  get isDurable(): boolean {
    return this.#isOpen && this.#memory.depth.batches === 0;
  }

  /**
   * Puts what is in memory into the spool where that can be used, and tells what outlives the process. To be called once
   * nothing is taken any longer.
   */
  async settle(): Promise<EventsLeft> {
    if (this.#isOpen) await withTimeout(this.#moveToSpool(), SETTLE_LIMIT_MS, this.#clock);
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

  /** Called as well once the spool is open: events of a relay that ran before may wait there. */
  onPut(listener: () => void): void {
    this.#listeners.push(listener);
    this.#spool.onPut(listener);
    this.#memory.onPut(listener);
  }

  async put(batch: EventBatch): Promise<"queued" | "full"> {
    if (!this.#isOpen) await this.#opening.attempted();
    return this.#isOpen ? this.#spool.put(batch) : this.#memory.put(batch);
  }

  /** What waits in memory goes first: it is older, and ends with the process. */
  async claim(limits: ClaimLimits): Promise<ClaimedEvents | undefined> {
    const taken = await this.#memory.claim(limits);
    if (taken === undefined) return this.#isOpen ? this.#spool.claim(limits) : undefined;
    this.#takenFromMemory.add(taken);
    return taken;
  }

  async ack(taken: ClaimedEvents, count?: number): Promise<void> {
    await this.#queueOf(taken).ack(taken, count);
  }

  async drop(taken: ClaimedEvents): Promise<number> {
    return this.#queueOf(taken).drop(taken);
  }

  async nack(taken: ClaimedEvents): Promise<void> {
    await this.#queueOf(taken).nack(taken);
  }

  #queueOf(taken: ClaimedEvents): EventQueue {
    return this.#takenFromMemory.has(taken) ? this.#memory : this.#spool;
  }

  /** Done again and again: what was on its way to upstream, and was released, is in memory still. */
  async #open(): Promise<void> {
    if (!this.#isOpen) {
      await this.#spool.open();
      this.#isOpen = true;
      for (const listener of this.#listeners) listener();
    }
    await this.#moveToSpool();
  }

  /** One move at a time: a second one would not see what the first has in hand. */
  #moveToSpool(): Promise<void> {
    this.#moving = this.#moving.catch(() => {}).then(() => this.#moveAll());
    return this.#moving;
  }

  /** As far as the spool takes it. What it does not take stays in memory, from where it is sent, too. */
  async #moveAll(): Promise<void> {
    for (;;) {
      const taken = await this.#memory.claim(EVERYTHING);
      if (taken === undefined) return;
      // A failure is reported by the spool.
      const put = await this.#spool.put(taken).catch(() => "full");
      if (put === "full") return this.#memory.nack(taken);
      await this.#memory.ack(taken);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#opening.stop();
    await this.#spool[Symbol.asyncDispose]();
    await this.#memory[Symbol.asyncDispose]();
    await this.#opening[Symbol.asyncDispose]();
  }
}
