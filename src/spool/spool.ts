import { countBytes, countEvents, heldBytes } from "../log-events/chunk.ts";
import type { ClaimedEvents, ClaimLimits, EventBatch, EventQueue, QueueDepth } from "../log-events/queue.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { SpoolReply } from "./calls.ts";
import { SpoolClaims } from "./claims.ts";
import { SpoolClient, SpoolError } from "./client.ts";
import type { EmitSpoolEvent } from "./events.ts";
import { SpoolIndex } from "./spool-index.ts";

export interface EventSpoolOptions {
  /** The folder of the database. It is created if missing. Only one relay at a time can use it. */
  readonly path: string;
  /** Limit for the stored, compressed size of all batches. The oldest batches are dropped to stay below it. */
  readonly maxBytes: number;
  /** The oldest batches are dropped to stay below it. */
  readonly maxBatches: number;
  /** Batches that have waited longer are dropped. */
  readonly maxAgeMs: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onProblem: EmitSpoolEvent;
}

/** On shutdown, the time limit for committing the puts that wait. */
const FLUSH_LIMIT_MS = 5_000;

/**
 * Keeps events in a SQLite file. Events whose put has resolved survive kill -9, and also a power cut if the disk honors fsync:
 * every commit is flushed. Events that were claimed but not acknowledged when the relay ended are in the queue again after a
 * restart, so each event is sent at least once.
 *
 * The file contains SDK keys in plain text, because events can't be forwarded without them. Only its owner can read it.
 */
export class EventSpool implements EventQueue {
  readonly #options: EventSpoolOptions;
  readonly #index = new SpoolIndex();
  readonly #claims = new SpoolClaims(this.#index);
  readonly #client: SpoolClient;
  readonly #puts = new PutQueue((batches) => this.#commit(batches));
  readonly #listeners: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: EventSpoolOptions) {
    const { path: folder, maxBytes, maxBatches, maxAgeMs, clock, supervisor, onProblem } = options;
    const limits = { folder, maxBytes, maxBatches, maxAgeMs };
    this.#options = options;
    this.#client = new SpoolClient({
      limits,
      clock,
      supervisor,
      onProblem,
      index: this.#index,
      onLoaded: () => this.#claims.reset(),
    });
  }

  /** Rejects if the file can't be used. */
  async open(): Promise<void> {
    await this.#client.open();
    await this.#dropExpired();
  }

  get depth(): QueueDepth {
    return this.#index.depth;
  }

  get filled(): number {
    const { maxBatches, maxBytes } = this.#options;
    return Math.max(this.depth.batches / maxBatches, this.#client.storedBytes / maxBytes);
  }

  nextDueAt(maxWaitMs: number): number | undefined {
    const { waitingSince } = this.#index;
    return waitingSince === undefined ? undefined : waitingSince + maxWaitMs;
  }

  onPut(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Resolves with "full" if the disk is full or too slow, or if the batch alone is larger than the spool may be. */
  async put(batch: EventBatch): Promise<PutResult> {
    this.#throwIfClosed();
    const result = await this.#puts.put(batch);
    if (result === "queued") for (const listener of this.#listeners) listener();
    return result;
  }

  async claim(limits: ClaimLimits): Promise<ClaimedEvents | undefined> {
    this.#throwIfClosed();
    await this.#dropExpired();
    for (;;) {
      const waiting = this.#index.pick(limits);
      if (waiting === undefined) return undefined;
      const claimed = await this.#claims.claim(waiting, limits, this.#client);
      if (claimed !== undefined) return claimed;
    }
  }

  async ack(claimed: ClaimedEvents, count?: number): Promise<void> {
    this.#throwIfClosed();
    await this.#claims.ack(claimed, count, this.#client);
  }

  async drop(claimed: ClaimedEvents): Promise<number> {
    this.#throwIfClosed();
    return this.#claims.drop(claimed, this.#client);
  }

  async nack(claimed: ClaimedEvents): Promise<void> {
    this.#claims.nack(claimed);
  }

  async #commit(batches: readonly EventBatch[]): Promise<readonly PutResult[]> {
    try {
      await this.#dropExpired();
      const put = { kind: "put", batches, claimed: this.#claims.rows } as const;
      const results = await this.#client.call(put, (reply) => this.#onCommitted(batches, reply));
      await this.#claims.retryDeletes(this.#client);
      return results;
    } catch (error) {
      if (error instanceof SpoolError && error.kind === "full") return batches.map(() => "full");
      throw error;
    }
  }

  #onCommitted(batches: readonly EventBatch[], { outcome }: SpoolReply): readonly PutResult[] {
    if (outcome.kind !== "put") throw new Error(`the event spool replied to a put with "${outcome.kind}"`);
    return batches.map(({ chunks, queuedAt }, at) => {
      const place = outcome.places[at];
      if (place === undefined) return "full";
      const sums = { batches: chunks.length, events: countEvents(chunks), bytes: countBytes(chunks) };
      this.#index.put(place.groupId, { id: place.id, queuedAt }, sums);
      return "queued";
    });
  }

  async #dropExpired(): Promise<void> {
    const { clock, maxAgeMs } = this.#options;
    const { waitingSince } = this.#index;
    if (waitingSince === undefined || waitingSince >= clock.now() - maxAgeMs) return;
    await this.#client.call({ kind: "expire", claimed: this.#claims.rows }, () => {});
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new Error("the event spool is closed");
  }

  /** Commits the puts that wait, within a time limit, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await withTimeout(this.#puts.idle(), FLUSH_LIMIT_MS, this.#options.clock);
    await this.#client.close();
  }
}

type PutResult = "queued" | "full";

interface WaitingPut extends PromiseWithResolvers<PutResult> {
  readonly batch: EventBatch;
  /** Memory that the batch takes. */
  readonly bytes: number;
}

/** Limits of one commit: large enough that it costs little per event, small enough that it does not take long. */
const MAX_COMMIT_BATCHES = 1_000;
const MAX_COMMIT_BYTES = 8 * 1024 * 1024;
/** Above this, the disk is too slow for the incoming events, and puts resolve with "full". */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** Group commit: puts that arrive during a commit wait, and are committed together. */
class PutQueue {
  readonly #commit: (batches: readonly EventBatch[]) => Promise<readonly PutResult[]>;
  readonly #waiting: WaitingPut[] = [];
  #waitingBytes = 0;
  #working: Promise<void> | undefined;

  constructor(commit: (batches: readonly EventBatch[]) => Promise<readonly PutResult[]>) {
    this.#commit = commit;
  }

  async put(batch: EventBatch): Promise<PutResult> {
    const bytes = heldBytes(batch.chunks);
    if (this.#waiting.length > 0 && this.#waitingBytes + bytes > MAX_WAITING_BYTES) return "full";
    const waiting: WaitingPut = { ...Promise.withResolvers<PutResult>(), batch, bytes };
    this.#waiting.push(waiting);
    this.#waitingBytes += bytes;
    this.#working ??= this.#work();
    return waiting.promise;
  }

  /** Resolves when every put so far is committed or has failed. */
  async idle(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    // The first commit includes everything that is put in the same turn of the event loop.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const puts = this.#shiftBatch();
      try {
        const results = await this.#commit(puts.map(({ batch }) => batch));
        for (const [at, { resolve }] of puts.entries()) resolve(results[at] ?? "full");
      } catch (error) {
        for (const { reject } of puts) reject(error);
      }
    }
    this.#working = undefined;
  }

  /** Removes the oldest puts that fit into one commit, at least one. */
  #shiftBatch(): WaitingPut[] {
    let bytes = 0;
    const end = this.#waiting.findIndex((waiting, at) => {
      bytes += waiting.bytes;
      return at > 0 && (at >= MAX_COMMIT_BATCHES || bytes > MAX_COMMIT_BYTES);
    });
    const puts = this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
    for (const put of puts) this.#waitingBytes -= put.bytes;
    return puts;
  }
}
