import { beginWorker, endOnFault } from "#runtime/threads.ts";
import { firstErrorLine } from "./errors.ts";
import { forwardForeignOutput } from "./process/foreign-output.ts";
import { joinProfiling } from "./profiling/join.ts";
import { threadEnded, threadLost, threadStarted } from "./profiling/threads.ts";

declare const self: Worker;

interface Call<Request> {
  readonly id: number;
  readonly request: Request;
}

/** The first message to the Worker. */
interface Introduction {
  /** How the thread is named in profiles. */
  readonly thread: string;
}

type Outcome<Reply> =
  | { readonly id: number; readonly kind: "replied"; readonly reply: Reply }
  | { readonly id: number; readonly kind: "threw"; readonly message: string };

interface Waiting<Reply> extends PromiseWithResolvers<Reply> {
  readonly timer: NodeJS.Timeout | undefined;
}

export interface WorkerCallsOptions {
  /** Names the Worker in errors. */
  readonly name: string;
  /** Given by the caller, because the build finds Workers by `startWorker(new URL(...))` relative to the calling file. */
  readonly start: () => Worker;
  /** Called when the Worker ended unexpectedly, also between calls. The next call starts a new one. */
  readonly onLost: (error: Error) => void;
  /** Calls that take longer are rejected. No limit if undefined. */
  readonly limitMs?: number;
  /**
   * A Worker that sends no reply for this long while calls wait is terminated: the calls are rejected, and the next call
   * starts a new Worker. Only for work that may be cut off at any point.
   */
  readonly silenceLimitMs?: number;
}

/** The work of a call threw. The same call would throw again, unlike after a failure of the Worker. */
export class WorkThrew extends Error {}

/** A call took longer than its limit. */
export class CallTimedOut extends Error {}

const CLOSED = "the relay is shutting down";

/** Calls a Worker, which is started with the first call and restarted after it died. */
export class WorkerCalls<Request, Reply> implements AsyncDisposable {
  readonly #options: WorkerCallsOptions;
  #worker: Worker | undefined;
  #lastId = 0;
  #closed = false;
  readonly #waiting = new Map<number, Waiting<Reply>>();
  /** Calls that timed out, which the Worker may still be working on. */
  readonly #overdue = new Set<number>();
  /** Runs while calls wait; restarted by each reply. */
  #silence: NodeJS.Timeout | undefined;

  constructor(options: WorkerCallsOptions) {
    this.#options = options;
  }

  /**
   * Resolves with the Worker's reply. `moved` buffers are transferred, not copied. Rejects with {@link WorkThrew} if the work threw, with
   * {@link CallTimedOut} if it took too long, with another error if the Worker failed, and at once while the Worker is busy with an overdue
   * call: it may hang for good, and requests would pile up.
   */
  async call(
    request: Request,
    moved: readonly ArrayBuffer[] = [],
    limitMs = this.#options.limitMs,
  ): Promise<Reply> {
    if (this.#closed) throw new Error(CLOSED);
    if (this.#overdue.size > 0) throw new Error(`${this.#options.name} does not respond`);
    this.#worker ??= this.#start();
    const id = ++this.#lastId;
    this.#worker.postMessage({ id, request } satisfies Call<Request>, [...moved]);
    const timer = limitMs === undefined ? undefined : setTimeout(() => this.#giveUp(id, limitMs), limitMs);
    const waiting: Waiting<Reply> = { ...Promise.withResolvers<Reply>(), timer };
    this.#waiting.set(id, waiting);
    this.#silence ??= this.#listen();
    return waiting.promise;
  }

  #start(): Worker {
    const { name, start, onLost } = this.#options;
    const worker = start();
    const thread = name.replace(/^the /, "");
    worker.postMessage({ thread } satisfies Introduction);
    threadStarted(worker, thread);
    worker.onmessage = (event: MessageEvent<Outcome<Reply>>) => {
      if (this.#worker === worker) this.#settle(event.data);
    };
    const lost = (reason: string) => {
      if (this.#worker !== worker) return;
      const error = new Error(reason);
      this.#abandon(error);
      onLost(error);
    };
    worker.onerror = (event) => lost(`${name} failed: ${firstErrorLine(event.message)}`);
    worker.addEventListener("close", () => lost(`${name} ended`));
    return worker;
  }

  #listen(): NodeJS.Timeout | undefined {
    const { name, silenceLimitMs: limitMs, onLost } = this.#options;
    if (limitMs === undefined) return undefined;
    return setTimeout(() => {
      const error = new Error(`${name} sent no reply for ${limitMs} ms`);
      this.#abandon(error);
      onLost(error);
    }, limitMs);
  }

  #settle(outcome: Outcome<Reply>): void {
    clearTimeout(this.#silence);
    this.#silence = undefined;
    this.#overdue.delete(outcome.id);
    const waiting = this.#take(outcome.id);
    if (outcome.kind === "threw") waiting?.reject(new WorkThrew(outcome.message));
    else waiting?.resolve(outcome.reply);
    if (this.#waiting.size > 0) this.#silence = this.#listen();
  }

  #giveUp(id: number, limitMs: number): void {
    this.#overdue.add(id);
    this.#take(id)?.reject(new CallTimedOut(`${this.#options.name} did not respond within ${limitMs} ms`));
  }

  #take(id: number): Waiting<Reply> | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  #abandon(reason: Error): void {
    // After the end on purpose it is known as ended.
    if (this.#worker !== undefined) threadLost(this.#worker);
    this.#worker?.terminate();
    this.#worker = undefined;
    clearTimeout(this.#silence);
    this.#silence = undefined;
    this.#overdue.clear();
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (this.#worker !== undefined) threadEnded(this.#worker);
    this.#abandon(new Error(CLOSED));
  }
}

/** Handles calls inside the Worker. `findMoved` returns the buffers of a reply that are transferred instead of copied. */
export function handleCalls<Request, Reply>(
  handle: (request: Request) => Reply | Promise<Reply>,
  findMoved: (reply: Reply) => readonly ArrayBuffer[] = () => [],
): void {
  beginWorker();
  endOnFault();
  forwardForeignOutput();
  self.onmessage = async (event: MessageEvent<Introduction | Call<Request>>) => {
    if ("thread" in event.data) {
      joinProfiling(event.data.thread);
      return;
    }
    const { id, request } = event.data;
    try {
      const reply = await handle(request);
      self.postMessage({ id, kind: "replied", reply } satisfies Outcome<Reply>, [...findMoved(reply)]);
    } catch (error) {
      self.postMessage({ id, kind: "threw", message: String(error) } satisfies Outcome<Reply>);
    }
  };
}
