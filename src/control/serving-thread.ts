import { firstErrorLine } from "../platform/errors.ts";
import { threadLost, threadStarted } from "../platform/profiling/threads.ts";
import { type ChannelEnd, ThreadChannel } from "../platform/thread-channel.ts";
import type { FromServing, ListenFailure, ServingSetup, ToServing } from "../serving/messages.ts";

/** A Worker, as far as it is used here. */
export interface ThreadEnd extends ChannelEnd {
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(type: "close", listener: () => void): void;
  terminate(): void;
}

/** The ports could not be opened. */
export class ListenRefused extends Error {
  readonly failure: ListenFailure;

  constructor(failure: ListenFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Many times as long as the start of a thread takes on a busy machine. */
const START_LIMIT_MS = 60_000;

/** Messages that are not about the thread itself. */
export type ServingReport = Exclude<
  FromServing,
  { kind: "set_up_failed" | "listening" | "listen_failed" | "drained" }
>;

interface ServingThreadOptions {
  readonly setup: ServingSetup;
  readonly start: () => ThreadEnd;
  /** Must not throw. */
  readonly onReport: (report: ServingReport, thread: ServingThread) => void;
}

/** One serving thread, from its start to its end, as the control plane sees it. */
export class ServingThread {
  readonly name: string;
  readonly slot: number;
  readonly #end: ThreadEnd;
  readonly #channel: ThreadChannel<ToServing, FromServing>;
  readonly #listening = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<void>();
  readonly #lost = Promise.withResolvers<string>();
  readonly #closed = Promise.withResolvers<void>();
  #isOver = false;

  constructor({ setup, start, onReport }: ServingThreadOptions) {
    this.name = setup.name;
    this.slot = setup.slot;
    this.#end = start();
    threadStarted(this.#end, setup.name);
    this.#listening.promise.catch(() => {});
    this.#channel = new ThreadChannel<ToServing, FromServing>(this.#end, (message) => {
      if (!this.#isOver) this.#receive(message, onReport);
    });
    this.#end.addEventListener("error", ({ message }) => this.#lose(firstErrorLine(message)));
    this.#end.addEventListener("close", () => {
      this.#closed.resolve();
      this.#lose("it ended");
    });
    this.send({ kind: "set_up", setup });
  }

  /** Resolves with the reason if the thread dies. Does not resolve after {@link terminate}. */
  get lost(): Promise<string> {
    return this.#lost.promise;
  }

  /** Resolves when the thread runs no more code and its connections are closed, a moment after {@link terminate}. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  send(message: ToServing): void {
    if (!this.#isOver) this.#channel.send(message);
  }

  /** Sends now what waits for the end of the turn. */
  flush(): void {
    if (!this.#isOver) this.#channel.flush();
  }

  /** Opens the ports. Rejects with {@link ListenRefused}, or with another error if the thread dies. */
  async listen(): Promise<void> {
    this.send({ kind: "listen" });
    const late = new Error(`the thread did not open its ports within ${START_LIMIT_MS / 1_000} s`);
    const timer = setTimeout(() => this.#listening.reject(late), START_LIMIT_MS);
    try {
      await this.#listening.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when nothing is in flight any more, or the thread has died. */
  async drain(): Promise<void> {
    this.send({ kind: "drain" });
    await this.#drained.promise;
  }

  /** Ends the thread whatever it does. Its ports and connections are closed. */
  terminate(): void {
    this.#isOver = true;
    this.#drained.resolve();
    this.#listening.reject(new Error("the thread was terminated"));
    threadLost(this.#end);
    this.#end.terminate();
  }

  #receive(message: FromServing, onReport: ServingThreadOptions["onReport"]): void {
    switch (message.kind) {
      case "set_up_failed": {
        const { detail, at } = message.error;
        this.#listening.reject(new Error(at === undefined ? detail : `${detail}, at ${at}`));
        return;
      }
      case "listening":
        this.#listening.resolve();
        return;
      case "listen_failed":
        this.#listening.reject(new ListenRefused(message.failure));
        return;
      case "drained":
        this.#drained.resolve();
        return;
      default:
        onReport(message, this);
    }
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    this.#listening.reject(new Error(reason));
    this.terminate();
    this.#lost.resolve(reason);
  }
}
