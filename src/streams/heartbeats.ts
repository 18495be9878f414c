import type { Clock } from "../platform/clock.ts";

/** After this long without a message, a stream sends a "no update" message (docs/protocol.md, Heartbeat). */
export const HEARTBEAT_MS = 30_000;

/** A stream that may be due for a heartbeat. */
interface Beating {
  heartbeatDue(): void;
}

/**
 * The heartbeats of all streams of a thread. All of them are due the same time after they were started, so that those in the order
 * in which they were started are also in the order in which they are due, and one timer is enough.
 */
export class Heartbeats {
  readonly #clock: Clock;
  /** When each is due, as in {@link Clock.elapsed}; the earliest is first. */
  readonly #due = new Map<Beating, number>();
  #sleep: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `heartbeatDue` once, {@link HEARTBEAT_MS} from now. Calling it again starts the time again. */
  start(stream: Beating): void {
    this.#due.delete(stream);
    this.#due.set(stream, this.#clock.elapsed() + HEARTBEAT_MS);
    if (this.#sleep === undefined) void this.#run();
  }

  stop(stream: Beating): void {
    if (!this.#due.delete(stream) || this.#due.size > 0) return;
    this.#sleep?.abort();
    this.#sleep = undefined;
  }

  async #run(): Promise<void> {
    const sleep = new AbortController();
    this.#sleep = sleep;
    try {
      for (let dueAt = this.#nextDue(); dueAt !== undefined; dueAt = this.#nextDue()) {
        await this.#clock.sleep(Math.ceil(Math.max(0, dueAt - this.#clock.elapsed())), sleep.signal);
        this.#wakeDue();
      }
      this.#sleep = undefined;
    } catch {
      // The last stream was stopped.
    }
  }

  #nextDue(): number | undefined {
    for (const dueAt of this.#due.values()) return dueAt;
    return undefined;
  }

  #wakeDue(): void {
    const now = this.#clock.elapsed();
    for (const [stream, dueAt] of this.#due) {
      if (dueAt > now) return;
      this.#due.delete(stream);
      stream.heartbeatDue();
    }
  }
}
