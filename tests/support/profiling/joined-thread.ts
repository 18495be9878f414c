import { once } from "node:events";
import { threadEnded, threadLost, threadStarted } from "../../../src/platform/profiling/threads.ts";
import { eventually, within } from "../common/wait.ts";
import type { Beat, StandStill } from "./joined-worker.ts";

const PATIENT = { withinMs: 20_000, everyMs: 2 };

/** A thread of this process named `joined`, as the relay starts its own. It stands still when a test says. */
export class JoinedThread implements AsyncDisposable {
  readonly worker = new Worker(new URL("./joined-worker.ts", import.meta.url));
  readonly #closed = once(this.worker, "close");
  #flag = new Int32Array(new SharedArrayBuffer(4));

  private constructor() {
    threadStarted(this.worker, "joined");
  }

  static async start(): Promise<JoinedThread> {
    const thread = new JoinedThread();
    await within(once(thread.worker, "message"), 20_000, "the thread to join");
    return thread;
  }

  /** The thread counts in `beats[slot]` as long as it runs, as serving threads do. */
  beat(beats: Int32Array<SharedArrayBuffer>, slot: number): void {
    this.worker.postMessage({ beats, slot } satisfies Beat);
  }

  /** The thread stands still from now on, or from the next order of a kind, which it does not follow before it runs again. */
  async standStill(at: StandStill["at"]): Promise<void> {
    this.#flag = new Int32Array(new SharedArrayBuffer(4));
    const received = once(this.worker, "message");
    this.worker.postMessage({ at, flag: this.#flag } satisfies StandStill);
    await within(received, 20_000, "the thread to take the message");
    if (at === "now") await this.stands();
  }

  /** Resolves when the thread stands still. */
  async stands(): Promise<void> {
    await eventually(() => {
      if (Atomics.load(this.#flag, 0) !== 1) throw new Error("the thread runs");
    }, PATIENT);
  }

  /** The thread runs again, if it stands still. */
  release(): void {
    Atomics.store(this.#flag, 0, 2);
    Atomics.notify(this.#flag, 0);
  }

  /** Ends the thread as if it had died. */
  lose(): void {
    threadLost(this.worker);
    this.end();
  }

  end(): void {
    this.release();
    threadEnded(this.worker);
    this.worker.terminate();
  }

  /** Resolves when the thread follows no more orders, so that no later test has a reply from it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await within(this.#closed, 20_000, "the thread to end");
  }
}
