import { startWorker } from "#runtime/threads.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { SpoolAction, SpoolCall, SpoolLimits, SpoolReply } from "./calls.ts";
import type { EmitSpoolEvent, SpoolDropReason } from "./events.ts";
import type { SpoolIndex } from "./spool-index.ts";

interface SpoolClientOptions {
  readonly limits: SpoolLimits;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly index: SpoolIndex;
  /** Called after the index was reloaded. As after a crash, claims made before that are void and their rows wait again. */
  readonly onLoaded: () => void;
  readonly onProblem: EmitSpoolEvent;
}

const CALL_LIMIT_MS = 10_000;
/** Opening checks the whole file: about one second per GB, ten on a slow disk. */
const OPEN_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 2_000;

const OPEN = { kind: "open" } as const;
const DROP_REASONS: readonly SpoolDropReason[] = ["size", "age", "damage"];

/** Calls the Worker that owns the file, and keeps the index in step with the file. */
export class SpoolClient {
  readonly #options: SpoolClientOptions;
  readonly #calls: WorkerCalls<SpoolCall, SpoolReply>;
  #reloading: Promise<void> | undefined;
  /** A call failed without a reply: the Worker may have changed the file all the same. */
  #isStale = false;
  #isFailing = false;
  #storedBytes = 0;
  #hasOpened = false;

  constructor(options: SpoolClientOptions) {
    this.#options = options;
    this.#calls = new WorkerCalls({
      name: "the event spool",
      start: () => startWorker(new URL("./spool-worker.ts", import.meta.url)),
      onLost: (error) => options.supervisor.caught("event_spool_worker", error),
      limitMs: CALL_LIMIT_MS,
    });
  }

  /** The stored size of all rows, as of the last reply. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Rejects if the file can't be used. That is not reported as `spool_failing`; the caller reports it. */
  async open(): Promise<void> {
    await this.#send(OPEN, () => {}, OPEN_LIMIT_MS);
    this.#hasOpened = true;
  }

  /** Runs an action; `apply` updates the index. Replies are applied in the order in which the Worker performed the actions. */
  async call<T>(action: SpoolAction, apply: (reply: SpoolReply) => T): Promise<T> {
    try {
      if (this.#isStale) await this.reload();
      const result = await this.#send(action, apply);
      if (action.kind === "put") this.#reportRecovered();
      return result;
    } catch (error) {
      this.#reportFailing(error as Error);
      throw error;
    }
  }

  /** Loads the index from the file. */
  reload(): Promise<void> {
    this.#isStale = true;
    this.#reloading ??= this.#reload();
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    try {
      await this.#send(OPEN, () => {});
      this.#isStale = false;
    } finally {
      this.#reloading = undefined;
    }
  }

  async #send<T>(action: SpoolAction, apply: (reply: SpoolReply) => T, limitMs?: number): Promise<T> {
    const { limits, clock } = this.#options;
    const reply = await this.#request({ limits, now: clock.now(), action }, limitMs);
    this.#applyOpened(reply);
    const { outcome, dropped } = reply;
    if (outcome.kind === "failed" || outcome.kind === "full")
      throw new SpoolError(outcome.kind, outcome.detail);
    // No await from here on: the next reply must find the index as this one leaves it.
    this.#storedBytes = reply.storedBytes;
    const result = apply(reply);
    for (const drop of dropped) this.#options.index.drop(drop);
    this.#reportDropped(reply);
    return result;
  }

  async #request(call: SpoolCall, limitMs?: number): Promise<SpoolReply> {
    try {
      return await this.#calls.call(call, [], limitMs);
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
  }

  #applyOpened({ opened, events }: SpoolReply): void {
    const { index, onLoaded, onProblem } = this.#options;
    for (const event of events) onProblem(event);
    if (opened === undefined) return;
    const lost = opened.length === 0 ? index.depth : undefined;
    index.load(opened);
    onLoaded();
    if (lost?.events)
      onProblem({ kind: "spool_dropped", events: lost.events, bytes: lost.bytes, reason: "damage" });
  }

  #reportDropped({ dropped }: SpoolReply): void {
    for (const reason of DROP_REASONS) {
      const sums = dropped.filter((drop) => drop.reason === reason).map((drop) => drop.sums);
      if (sums.length === 0) continue;
      const events = sums.reduce((total, sum) => total + sum.events, 0);
      const bytes = sums.reduce((total, sum) => total + sum.bytes, 0);
      this.#options.onProblem({ kind: "spool_dropped", events, bytes, reason });
    }
  }

  #reportFailing({ message: detail }: Error): void {
    this.#options.onProblem({ kind: "spool_failing", detail });
    this.#isFailing = true;
  }

  #reportRecovered(): void {
    if (this.#isFailing) this.#options.onProblem({ kind: "spool_recovered" });
    this.#isFailing = false;
  }

  async close(): Promise<void> {
    try {
      // A Worker that is still waiting for the file has nothing to close.
      if (this.#hasOpened) await this.#send({ kind: "close" }, () => {}, CLOSE_LIMIT_MS);
    } catch {
      // The file is complete anyway, as after kill -9.
    }
    await this.#calls[Symbol.asyncDispose]();
  }
}

/** The file could not be read or written: the disk is full, or the operation failed for another reason. */
export class SpoolError extends Error {
  readonly kind: "failed" | "full";

  constructor(kind: "failed" | "full", detail: string) {
    super(detail);
    this.kind = kind;
  }
}
