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
  /** The index was loaded anew: what was taken before waits again, as after a crash. */
  readonly onLoaded: () => void;
  readonly onProblem: EmitSpoolEvent;
}

const CALL_LIMIT_MS = 10_000;
/** The whole file is checked: about a second per GB, on a slow disk ten. */
const OPEN_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 2_000;

const OPEN = { kind: "open" } as const;
const REASONS: readonly SpoolDropReason[] = ["size", "age", "damage"];

/** Calls of the Worker that has the file. Sees to it that the index says what is in the file. */
export class SpoolClient {
  readonly #options: SpoolClientOptions;
  readonly #calls: WorkerCalls<SpoolCall, SpoolReply>;
  #reloading: Promise<void> | undefined;
  /** Something may have been done of which nothing was heard. */
  #isStale = false;
  #isFailing = false;
  #storedBytes = 0;
  #hasOpened = false;

  constructor(options: SpoolClientOptions) {
    this.#options = options;
    this.#calls = new WorkerCalls({
      name: "the event spool",
      start: () => new Worker(new URL("./spool-worker.ts", import.meta.url)),
      onLost: (error) => options.supervisor.caught("event_spool_worker", error),
      limitMs: CALL_LIMIT_MS,
    });
  }

  /** Of all rows, as of the last reply. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Rejects where the file can't be used. Nothing is reported but what was done about it. */
  async open(): Promise<void> {
    await this.#send(OPEN, () => {}, OPEN_LIMIT_MS);
    this.#hasOpened = true;
  }

  /** `apply` puts what was done into the index. Replies are applied in the order in which things were done. */
  async call<T>(action: SpoolAction, apply: (reply: SpoolReply) => T): Promise<T> {
    try {
      if (this.#isStale) await this.reload();
      const result = await this.#send(action, apply);
      if (action.kind === "put") this.#mended();
      return result;
    } catch (error) {
      this.#failing(error as Error);
      throw error;
    }
  }

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
    const reply = await this.#reply({ limits, now: clock.now(), action }, limitMs);
    this.#before(reply);
    const { outcome, dropped } = reply;
    if (outcome.kind === "failed" || outcome.kind === "full")
      throw new SpoolError(outcome.kind, outcome.detail);
    // From here on without waiting: the next reply must find the index as this one leaves it.
    this.#storedBytes = reply.storedBytes;
    const result = apply(reply);
    for (const drop of dropped) this.#options.index.drop(drop);
    this.#report(reply);
    return result;
  }

  async #reply(call: SpoolCall, limitMs?: number): Promise<SpoolReply> {
    try {
      return await this.#calls.call(call, [], limitMs);
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
  }

  #before({ opened, events }: SpoolReply): void {
    const { index, onLoaded, onProblem } = this.#options;
    for (const event of events) onProblem(event);
    if (opened === undefined) return;
    const lost = opened.length === 0 ? index.depth : undefined;
    index.load(opened);
    onLoaded();
    if (lost?.events)
      onProblem({ kind: "spool_dropped", events: lost.events, bytes: lost.bytes, reason: "damage" });
  }

  #report({ dropped }: SpoolReply): void {
    for (const reason of REASONS) {
      const sums = dropped.filter((drop) => drop.reason === reason).map((drop) => drop.sums);
      if (sums.length === 0) continue;
      const events = sums.reduce((total, sum) => total + sum.events, 0);
      const bytes = sums.reduce((total, sum) => total + sum.bytes, 0);
      this.#options.onProblem({ kind: "spool_dropped", events, bytes, reason });
    }
  }

  #failing({ message: detail }: Error): void {
    if (!this.#isFailing) this.#options.onProblem({ kind: "spool_failing", detail });
    this.#isFailing = true;
  }

  #mended(): void {
    if (this.#isFailing) this.#options.onProblem({ kind: "spool_recovered" });
    this.#isFailing = false;
  }

  async close(): Promise<void> {
    try {
      // A Worker that still waits for the file has nothing to close.
      if (this.#hasOpened) await this.#send({ kind: "close" }, () => {}, CLOSE_LIMIT_MS);
    } catch {
      // As after kill -9: the file is whole all the same.
    }
    await this.#calls[Symbol.asyncDispose]();
  }
}

/** The file could not be written to, or read. */
export class SpoolError extends Error {
  readonly kind: "failed" | "full";

  constructor(kind: "failed" | "full", detail: string) {
    super(detail);
    this.kind = kind;
  }
}
