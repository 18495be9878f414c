import { heldBytes } from "../log-events/event-chunk.ts";
import type { EventBatch } from "../log-events/event-queue.ts";

export type PutResult = "queued" | "full";

interface Waiting extends PromiseWithResolvers<PutResult> {
  readonly batch: EventBatch;
  /** Memory that it takes. */
  readonly bytes: number;
}

/** Large enough that a commit costs little by the event, small enough that it ends soon. */
const MAX_COMMIT_BATCHES = 1_000;
const MAX_COMMIT_BYTES = 8 * 1024 * 1024;
/** Beyond it the disk is too slow for what comes in: whoever sends must hold it. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** Puts that come while a commit is under way wait, and are committed as one. */
export class EventSpoolPuts {
  readonly #commit: (batches: readonly EventBatch[]) => Promise<readonly PutResult[]>;
  readonly #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #working: Promise<void> | undefined;

  constructor(commit: (batches: readonly EventBatch[]) => Promise<readonly PutResult[]>) {
    this.#commit = commit;
  }

  async put(batch: EventBatch): Promise<PutResult> {
    const bytes = heldBytes(batch.chunks);
    if (this.#waiting.length > 0 && this.#waitingBytes + bytes > MAX_WAITING_BYTES) return "full";
    const waiting: Waiting = { ...Promise.withResolvers<PutResult>(), batch, bytes };
    this.#waiting.push(waiting);
    this.#waitingBytes += bytes;
    this.#working ??= this.#work();
    return waiting.promise;
  }

  /** Once all that was put is committed, or could not be. */
  async idle(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    // What else is put in this turn of the event loop goes with the first.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const puts = this.#next();
      try {
        const results = await this.#commit(puts.map(({ batch }) => batch));
        for (const [at, { resolve }] of puts.entries()) resolve(results[at] ?? "full");
      } catch (error) {
        for (const { reject } of puts) reject(error);
      }
    }
    this.#working = undefined;
  }

  #next(): Waiting[] {
    let bytes = 0;
    const tooMuch = this.#waiting.findIndex((waiting, at) => {
      bytes += waiting.bytes;
      return at > 0 && (at >= MAX_COMMIT_BATCHES || bytes > MAX_COMMIT_BYTES);
    });
    const puts = this.#waiting.splice(0, tooMuch === -1 ? this.#waiting.length : tooMuch);
    for (const { bytes: put } of puts) this.#waitingBytes -= put;
    return puts;
  }
}
