import { setTimeout as sleep } from "node:timers/promises";
import { countBytes, countEvents, heldBytes } from "../log-events/chunk.ts";
import type { ClaimedEvents, ClaimLimits, EventBatch, EventQueue, QueueDepth } from "../log-events/queue.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { SpoolReply, SpoolRows } from "./calls.ts";
import { SpoolClaims } from "./claims.ts";
import { SpoolClient, SpoolError } from "./client.ts";
import type { EmitSpoolEvent } from "./events.ts";
import { SpoolIndex } from "./spool-index.ts";

export interface EventSpoolOptions {
  /** The folder of the database; made where there is none. One relay at a time can use it. */
  readonly path: string;
  /** Of all batches, as they are stored: compressed. Beyond it the oldest go. */
  readonly maxBytes: number;
  /** Beyond it the oldest go, too. */
  readonly maxBatches: number;
  /** What waited longer goes. */
  readonly maxAgeMs: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onProblem: EmitSpoolEvent;
}

/** What is still to be committed on shutdown has this long. */
const FLUSH_LIMIT_MS = 5_000;

/**
 * Keeps events in a SQLite file. What was acknowledged survives kill -9, and a power cut as far as the disk keeps
 * what it says that it has: every commit is flushed to it. Events that were taken, but not yet removed, when the
 * relay ended are there again: they are sent at least once.
 *
 * The file holds SDK keys as they are, since events can't be forwarded without them. It is open to its owner alone.
 */
export class EventSpool implements EventQueue {
  readonly #options: EventSpoolOptions;
  readonly #index = new SpoolIndex();
  readonly #takes = new SpoolClaims(this.#index);
  readonly #link: SpoolClient;
  readonly #puts = new EventSpoolPuts((batches) => this.#commit(batches));
  readonly #listeners: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: EventSpoolOptions) {
    const { path: folder, maxBytes, maxBatches, maxAgeMs, clock, supervisor, onProblem } = options;
    const limits = { folder, maxBytes, maxBatches, maxAgeMs };
    this.#options = options;
    this.#link = new SpoolClient({
      limits,
      clock,
      supervisor,
      onProblem,
      index: this.#index,
      onLoaded: () => this.#takes.forget(),
    });
  }

  /** Rejects where the file can't be used. */
  async open(): Promise<void> {
    await this.#link.open();
    await this.#expire();
  }

  get depth(): QueueDepth {
    return this.#index.depth;
  }

  get filled(): number {
    const { maxBatches, maxBytes } = this.#options;
    return Math.max(this.depth.batches / maxBatches, this.#link.storedBytes / maxBytes);
  }

  nextDueAt(maxWaitMs: number): number | undefined {
    const { waitingSince } = this.#index;
    return waitingSince === undefined ? undefined : waitingSince + maxWaitMs;
  }

  onPut(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** "full" where the disk is, or cannot keep up, or the batch alone is larger than the spool may be. */
  async put(batch: EventBatch): Promise<PutResult> {
    this.#refuseOnceClosed();
    const result = await this.#puts.put(batch);
    if (result === "queued") for (const listener of this.#listeners) listener();
    return result;
  }

  async claim(limits: ClaimLimits): Promise<ClaimedEvents | undefined> {
    this.#refuseOnceClosed();
    await this.#expire();
    for (;;) {
      const waiting = this.#index.pick(limits);
      if (waiting === undefined) return undefined;
      const taken = await this.#takes.take(waiting, limits, this.#link);
      if (taken !== undefined) return taken;
    }
  }

  async ack(taken: ClaimedEvents, count?: number): Promise<void> {
    this.#refuseOnceClosed();
    await this.#takes.remove(taken, count, this.#link);
  }

  async drop(taken: ClaimedEvents): Promise<number> {
    this.#refuseOnceClosed();
    return this.#takes.drop(taken, this.#link);
  }

  async nack(taken: ClaimedEvents): Promise<void> {
    this.#takes.release(taken);
  }

  async #commit(batches: readonly EventBatch[]): Promise<readonly PutResult[]> {
    try {
      await this.#expire();
      const put = { kind: "put", batches, taken: this.#takes.rows } as const;
      const results = await this.#link.call(put, (reply) => this.#committed(batches, reply));
      await this.#takes.removeGone(this.#link);
      return results;
    } catch (error) {
      if (error instanceof SpoolError && error.kind === "full") return batches.map(() => "full");
      throw error;
    }
  }

  #committed(batches: readonly EventBatch[], { outcome }: SpoolReply): readonly PutResult[] {
    if (outcome.kind !== "put") throw new Error(`the event spool answered a put with "${outcome.kind}"`);
    return batches.map(({ chunks, queuedAt }, at) => {
      const place = outcome.places[at];
      if (place === undefined) return "full";
      const sums = { batches: chunks.length, events: countEvents(chunks), bytes: countBytes(chunks) };
      this.#index.put(place.groupId, { id: place.id, queuedAt }, sums);
      return "queued";
    });
  }

  /** Gives up what is too old. */
  async #expire(): Promise<void> {
    const { clock, maxAgeMs } = this.#options;
    const { waitingSince } = this.#index;
    if (waitingSince === undefined || waitingSince >= clock.now() - maxAgeMs) return;
    const taken: readonly SpoolRows[] = this.#takes.rows;
    await this.#link.call({ kind: "expire", taken }, () => {});
  }

  #refuseOnceClosed(): void {
    if (this.#closing !== undefined) throw new Error("the event spool is closed");
  }

  /** What was put is still committed, where that does not take long. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.race([this.#puts.idle(), sleep(FLUSH_LIMIT_MS, undefined, { ref: false })]);
    await this.#link.close();
  }
}

type PutResult = "queued" | "full";

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
class EventSpoolPuts {
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
