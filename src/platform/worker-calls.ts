declare const self: Worker;

interface Call<Request> {
  readonly id: number;
  readonly request: Request;
}

type Answer<Reply> =
  | { readonly id: number; readonly kind: "replied"; readonly reply: Reply }
  | { readonly id: number; readonly kind: "threw"; readonly message: string };

interface Waiting<Reply> extends PromiseWithResolvers<Reply> {
  readonly timer: NodeJS.Timeout | undefined;
}

export interface WorkerCallsOptions {
  /** What the Worker is to people, in errors. */
  readonly name: string;
  /** Here, since the build finds a Worker by the `new Worker(new URL(...))` in the folder that it belongs to. */
  readonly start: () => Worker;
  /** It ended without having been told to, with nobody waiting for it perhaps; the next call has a new one. */
  readonly onLost: (error: Error) => void;
  /** A call that takes longer is rejected; without it a call may take as long as it will. */
  readonly limitMs?: number;
  /**
   * A Worker that replies nothing for so long, while calls wait, is ended: they are rejected, and the next call has a
   * new one. For work that leaves nothing behind when it is cut off.
   */
  readonly silenceLimitMs?: number;
}

const CLOSED = "the relay is shutting down";

/** Calls of one Worker, started with the first of them and started anew should it die. */
export class WorkerCalls<Request, Reply> implements AsyncDisposable {
  readonly #options: WorkerCallsOptions;
  #worker: Worker | undefined;
  #lastId = 0;
  #closed = false;
  readonly #waiting = new Map<number, Waiting<Reply>>();
  /** Calls that were rejected for their time, and that the Worker may still be busy with. */
  readonly #overdue = new Set<number>();
  /** Runs while calls wait, from the last reply on. */
  #silence: NodeJS.Timeout | undefined;

  constructor(options: WorkerCallsOptions) {
    this.#options = options;
  }

  /**
   * What the Worker replies; `moved` are handed over, not copied. Rejects when the work could not be done at
   * all: at once where the Worker is still busy with an overdue call, since it may hang for good and what is
   * sent to it would pile up.
   */
  async call(
    request: Request,
    moved: readonly ArrayBuffer[] = [],
    limitMs = this.#options.limitMs,
  ): Promise<Reply> {
    if (this.#closed) throw new Error(CLOSED);
    if (this.#overdue.size > 0) throw new Error(`${this.#options.name} does not answer`);
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
    worker.onmessage = (event: MessageEvent<Answer<Reply>>) => {
      if (this.#worker === worker) this.#settle(event.data);
    };
    const lost = (reason: string) => {
      if (this.#worker !== worker) return;
      const error = new Error(reason);
      this.#abandon(error);
      onLost(error);
    };
    worker.onerror = (event) => lost(`${name} failed: ${shortMessage(event.message)}`);
    worker.addEventListener("close", () => lost(`${name} ended`));
    return worker;
  }

  #listen(): NodeJS.Timeout | undefined {
    const { name, silenceLimitMs: limitMs, onLost } = this.#options;
    if (limitMs === undefined) return undefined;
    return setTimeout(() => {
      const error = new Error(`${name} replied nothing for ${limitMs} ms`);
      this.#abandon(error);
      onLost(error);
    }, limitMs);
  }

  #settle(answer: Answer<Reply>): void {
    clearTimeout(this.#silence);
    this.#silence = undefined;
    this.#overdue.delete(answer.id);
    const waiting = this.#take(answer.id);
    if (answer.kind === "threw") waiting?.reject(new Error(answer.message));
    else waiting?.resolve(answer.reply);
    if (this.#waiting.size > 0) this.#silence = this.#listen();
  }

  #giveUp(id: number, limitMs: number): void {
    this.#overdue.add(id);
    this.#take(id)?.reject(new Error(`${this.#options.name} did not answer within ${limitMs} ms`));
  }

  #take(id: number): Waiting<Reply> | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  #abandon(reason: Error): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    clearTimeout(this.#silence);
    this.#silence = undefined;
    this.#overdue.clear();
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#abandon(new Error(CLOSED));
  }
}

/** Bun's has several lines, with the source around the place; only the one that says what happened is for people. */
function shortMessage(message: string): string {
  const lines = message.split("\n").map((line) => line.trim());
  return lines.find((line) => /^(error|[A-Z]\w*Error): /.test(line)) ?? lines[0] ?? "";
}

/** Run by the Worker: answers each call. `movedOf` says what of a reply is handed over, not copied. */
export function answerCalls<Request, Reply>(
  answer: (request: Request) => Reply | Promise<Reply>,
  movedOf: (reply: Reply) => readonly ArrayBuffer[],
): void {
  self.onmessage = async (event: MessageEvent<Call<Request>>) => {
    const { id, request } = event.data;
    try {
      const reply = await answer(request);
      self.postMessage({ id, kind: "replied", reply } satisfies Answer<Reply>, [...movedOf(reply)]);
    } catch (error) {
      self.postMessage({ id, kind: "threw", message: String(error) } satisfies Answer<Reply>);
    }
  };
}
