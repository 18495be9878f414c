import { withTimeout } from "../platform/abort.ts";
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { LoopName, Supervisor } from "../platform/supervisor.ts";

interface OpeningOptions {
  readonly loop: LoopName;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** Opens the file, or checks that it is still the one that was opened. Rejects if it can't be used. */
  readonly open: () => Promise<void>;
  /** Called once when the file can't be used, until it is usable again. */
  readonly onUnusable: (detail: string) => void;
  /** Called when the file becomes usable, also the first time. `wasReported`: {@link onUnusable} was called before. */
  readonly onUsable: (wasReported: boolean) => void;
}

const RETRY_BACKOFF = { firstMs: 250, maxMs: 5_000 } as const;
/** How often an open file is checked, so that a replaced file is noticed even if it is not used meanwhile. */
const CHECK_EVERY_MS = 10_000;
/** How long calls wait for the first attempt, from its start: the file may be large, or locked by a relay that is stopping. */
const FIRST_ATTEMPT_MS = 3_000;

/** Opens a database file in the background and retries forever: another process may use it, or its folder may be read-only. */
export class Opening implements AsyncDisposable {
  readonly #options: OpeningOptions;
  readonly #stopping = new AbortController();
  readonly #firstAttempt = Promise.withResolvers<void>();
  /** Shared by all calls, so that later ones do not wait again. */
  readonly #firstWait: Promise<unknown>;
  #isUsable = false;
  #failure: string | undefined;
  #failures = 0;
  readonly #running: Promise<void>;

  constructor(options: OpeningOptions) {
    const { loop, clock, supervisor } = options;
    this.#options = options;
    this.#firstWait = withTimeout(this.#firstAttempt.promise, FIRST_ATTEMPT_MS, clock);
    this.#running = supervisor.loop(loop, this.#stopping.signal, () => this.#round());
  }

  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Rejects with the reason if the file can't be used. Waits for the first attempt, but at most 3 seconds. */
  async usable(): Promise<void> {
    if (this.#isUsable) return;
    await this.attempted();
    if (!this.#isUsable) throw new Error(this.#failure ?? "it is still being opened");
  }

  /** Resolves after the first attempt, or 3 seconds after its start. */
  async attempted(): Promise<void> {
    if (this.#failures > 0) return;
    await this.#firstWait;
  }

  async #round(): Promise<void> {
    const { clock } = this.#options;
    const isOpen = await this.#attempt();
    const delayMs = isOpen ? CHECK_EVERY_MS : backoffMs({ attempt: this.#failures - 1, ...RETRY_BACKOFF });
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

  /** Makes no further attempts. An attempt that is in flight ends when `open` does. */
  stop(): void {
    this.#stopping.abort();
    this.#firstAttempt.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#running;
  }
}
