import { setTimeout as sleep } from "node:timers/promises";
import type { ServingSetup, ToServing } from "../serving/messages.ts";
import type { EmitServingEvent } from "./events.ts";
import { type ServingReport, ServingThread, type ThreadEnd } from "./serving-thread.ts";

interface ServingThreadsOptions {
  /** What each thread serves. A replacement gets the settings of its time. */
  readonly plans: readonly ThreadPlan[];
  readonly start: () => ThreadEnd;
  /** Sends a new thread what it needs to serve. Called before it opens its ports. */
  readonly prepare: (thread: ServingThread) => void;
  readonly onReport: (report: ServingReport, thread: ServingThread) => void;
  /** Called once per lost thread, before its replacement starts. */
  readonly onLost: (thread: ServingThread) => void;
  /** Each thread increments its own number several times a second, as long as its event loop runs. */
  readonly beats: Int32Array;
  readonly emit: EmitServingEvent;
}

interface ThreadPlan {
  readonly name: string;
  readonly slot: number;
  readonly setup: () => ServingSetup;
}

/** A place of the plan, and the thread that fills it now. */
interface Place {
  readonly plan: ThreadPlan;
  thread: ServingThread | undefined;
  isServing: boolean;
  lastBeat: number;
  missedChecks: number;
  /** Ends in a row soon after the start. */
  earlyEnds: number;
  startedAt: number;
}

const CHECK_EVERY_MS = 500;

/** Counted in checks of the main thread, so that a machine that was suspended does not look like a thread that hangs. */
const HUNG_AFTER_CHECKS = 10;

/** A thread that ends within this time after its start is replaced after a delay. */
const EARLY_MS = 30_000;
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 60_000;

/** Starts the serving threads, and replaces those that die or hang. */
export class ServingThreads implements Disposable {
  readonly #options: ServingThreadsOptions;
  readonly #places: readonly Place[];
  readonly #stopping = new AbortController();
  #checking: NodeJS.Timeout | undefined;

  private constructor(options: ServingThreadsOptions) {
    this.#options = options;
    this.#places = options.plans.map((plan) => ({
      plan,
      ...{ thread: undefined, isServing: false, lastBeat: 0, missedChecks: 0, earlyEnds: 0, startedAt: 0 },
    }));
  }

  /** Resolves when every thread serves. Rejects with ListenRefused if a port cannot be opened. */
  static async start(options: ServingThreadsOptions): Promise<ServingThreads> {
    const threads = new ServingThreads(options);
    try {
      await Promise.all(threads.#places.map((place) => threads.#fill(place)));
    } catch (error) {
      threads[Symbol.dispose]();
      throw error;
    }
    for (const place of threads.#places) threads.#watch(place);
    threads.#checking = setInterval(() => threads.#check(), CHECK_EVERY_MS).unref();
    return threads;
  }

  get wanted(): number {
    return this.#places.length;
  }

  /** The number of threads that serve now. */
  get serving(): number {
    return this.#places.filter(({ isServing }) => isServing).length;
  }

  /** The threads that run now, also those that do not serve yet. */
  *running(): Iterable<ServingThread> {
    for (const { thread } of this.#places) if (thread !== undefined) yield thread;
  }

  broadcast(message: ToServing): void {
    for (const thread of this.running()) thread.send(message);
  }

  /** Resolves when no thread has a request in flight. */
  async drain(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#checking);
    await Promise.all([...this.running()].map((thread) => thread.drain()));
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
    clearInterval(this.#checking);
    for (const thread of this.running()) thread.terminate();
  }

  async #fill(place: Place): Promise<void> {
    const { start, prepare, onReport } = this.#options;
    const thread = new ServingThread({ setup: place.plan.setup(), start, onReport });
    place.thread = thread;
    place.startedAt = performance.now();
    place.missedChecks = 0;
    prepare(thread);
    await thread.listen();
    place.isServing = true;
  }

  /** Replaces the thread of the place when it is lost. */
  #watch(place: Place): void {
    const { thread } = place;
    void thread?.lost.then((reason) => {
      if (place.thread === thread) this.#replace(place, "died", reason);
    });
  }

  #check(): void {
    const { beats } = this.#options;
    for (const place of this.#places) {
      const beat = Atomics.load(beats, place.plan.slot);
      place.missedChecks = !place.isServing || beat !== place.lastBeat ? 0 : place.missedChecks + 1;
      place.lastBeat = beat;
      if (place.missedChecks < HUNG_AFTER_CHECKS) continue;
      place.thread?.terminate();
      this.#replace(
        place,
        "hung",
        `its event loop did not run for ${(HUNG_AFTER_CHECKS * CHECK_EVERY_MS) / 1_000} s`,
      );
    }
  }

  #replace(place: Place, reason: "died" | "hung", detail: string): void {
    const { thread, plan } = place;
    place.thread = undefined;
    place.isServing = false;
    if (thread !== undefined) this.#options.onLost(thread);
    if (this.#stopping.signal.aborted) return;
    this.#options.emit({ kind: "thread_lost", name: plan.name, reason, detail });
    place.earlyEnds = performance.now() - place.startedAt < EARLY_MS ? place.earlyEnds + 1 : 0;
    void this.#refill(place);
  }

  async #refill(place: Place): Promise<void> {
    const { emit, onLost } = this.#options;
    const { signal } = this.#stopping;
    for (; !signal.aborted; place.earlyEnds++) {
      const delayMs =
        place.earlyEnds === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (place.earlyEnds - 1));
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#fill(place);
      } catch (error) {
        place.thread?.terminate();
        if (place.thread !== undefined) onLost(place.thread);
        place.thread = undefined;
        if (!signal.aborted)
          emit({
            kind: "thread_failed_to_start",
            name: place.plan.name,
            detail: String(error),
            retryInMs: Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** place.earlyEnds),
          });
        continue;
      }
      emit({ kind: "thread_replaced", name: place.plan.name });
      this.#watch(place);
      return;
    }
  }
}
