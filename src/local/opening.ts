import { type Clock, within } from "../clock.ts";
import type { LoopName } from "../supervision/events.ts";
import type { Supervisor } from "../supervision/supervisor.ts";

export interface OpeningOptions {
  readonly loop: LoopName;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** Opens the file, or sees to it that it is still the one that was opened. Rejects if it can't be used. */
  readonly open: () => Promise<void>;
  /** Called once, until it is usable. */
  readonly onUnusable: (detail: string) => void;
  /** Called once it is usable, at first and after each time that it was not. `wasReported`: as unusable. */
  readonly onUsable: (wasReported: boolean) => void;
}

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;
/** A file that another one replaced while nothing was read or written is noticed within this. */
const CHECK_EVERY_MS = 10_000;
/** How long calls wait for the first attempt, from its start: the file may be large, or locked by a relay that just ends. */
const FIRST_ATTEMPT_MS = 3_000;

/** Opens a file in the background, for as long as it takes: another process may have it, or its folder be read-only. */
export class Opening implements AsyncDisposable {
  readonly #options: OpeningOptions;
  readonly #stopping = new AbortController();
  readonly #firstAttempt = Promise.withResolvers<void>();
  /** One for all calls: none waits again where others have waited already. */
  readonly #firstWait: Promise<unknown>;
  #isUsable = false;
  #failure: string | undefined;
  #failures = 0;
  readonly #running: Promise<void>;

  constructor(options: OpeningOptions) {
    const { loop, clock, supervisor } = options;
    this.#options = options;
    this.#firstWait = within(clock, FIRST_ATTEMPT_MS, this.#firstAttempt.promise);
    this.#running = supervisor.loop(loop, this.#stopping.signal, () => this.#round());
  }

  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Rejects with the reason if the file can't be used. Waits for the first attempt, but not for ever. */
  async usable(): Promise<void> {
    if (this.#isUsable) return;
    await this.attempted();
    if (!this.#isUsable) throw new Error(this.#failure ?? "it takes long to open");
  }

  /** Resolves after the first attempt, or if that takes long. */
  async attempted(): Promise<void> {
    if (this.#failures > 0) return;
    await this.#firstWait;
  }

  async #round(): Promise<void> {
    const { clock } = this.#options;
    const delayMs = (await this.#attempt())
      ? CHECK_EVERY_MS
      : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    await clock.sleep(delayMs, this.#stopping.signal).catch(() => {});
  }

  async #attempt(): Promise<boolean> {
    const { open, onUnusable, onUsable } = this.#options;
    try {
      await open();
    } catch (error) {
      if (this.#stopping.signal.aborted) return false;
      this.#failure = (error as Error).message;
      this.#isUsable = false;
      if (this.#failures++ === 0) onUnusable(this.#failure);
      this.#firstAttempt.resolve();
      return false;
    }
    const wasUsable = this.#isUsable;
    const wasReported = this.#failures > 0;
    this.#isUsable = true;
    this.#failures = 0;
    if (!wasUsable) onUsable(wasReported);
    this.#firstAttempt.resolve();
    return true;
  }

  /** No further attempts. One that is under way ends when `open` does. */
  stop(): void {
    this.#stopping.abort();
    this.#firstAttempt.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#running;
  }
}
