import { setTimeout as sleep } from "node:timers/promises";
import { redactSecrets } from "../access/redact.ts";
import { isExamined } from "../platform/profiling/threads.ts";
import type { EmitServingEvent } from "../server/thread-events.ts";
import type { Protocol, ServingSetup, ToServing } from "../serving/messages.ts";
import { type ServingReport, ServingThread, type ThreadEnd } from "./serving-thread.ts";

interface ServingThreadsOptions {
  /** One for each thread. Called for its first start and for each replacement. */
  readonly setups: readonly (() => ServingSetup)[];
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

/** A place for a thread, and the one that fills it now. */
interface Place {
  readonly setup: () => ServingSetup;
  readonly protocols: ReadonlySet<Protocol>;
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

/** A thread ends some 100 ms after it was terminated. */
const CLOSE_LIMIT_MS = 5_000;

/** Starts the serving threads, and replaces those that die or hang. */
export class ServingThreads implements Disposable {
  readonly #options: ServingThreadsOptions;
  readonly #places: readonly Place[];
  readonly #stopping = new AbortController();
  #checking: NodeJS.Timeout | undefined;

  constructor(options: ServingThreadsOptions) {
    this.#options = options;
    this.#places = options.setups.map((setup) => ({
      setup,
      protocols: new Set(setup().ports.map(({ protocol }) => protocol)),
      ...{ thread: undefined, isServing: false, lastBeat: 0, missedChecks: 0, earlyEnds: 0, startedAt: 0 },
    }));
  }

  /** Resolves when every thread serves. Rejects with ListenRefused if a port cannot be opened. */
  async start(): Promise<void> {
    await Promise.all(this.#places.map((place) => this.#fill(place)));
    for (const place of this.#places) {
      this.#watch(place);
      const { name = "" } = place.thread ?? {};
      this.#options.emit({ kind: "thread_started", name, isReplacement: false });
    }
    this.#checking = setInterval(() => this.#check(), CHECK_EVERY_MS).unref();
  }

  /** Whether any thread serves the port. */
  isServed(protocol: Protocol): boolean {
    return this.#places.some(({ isServing, protocols }) => isServing && protocols.has(protocol));
  }

  /** The threads that run now, also those that do not serve yet. */
  *running(): Iterable<ServingThread> {
    for (const { thread } of this.#places) if (thread !== undefined) yield thread;
  }

  /** Sends a message to all threads, or to those that serve one of these protocols. */
  broadcast(message: ToServing, protocols?: readonly Protocol[]): void {
    for (const { thread, protocols: served } of this.#places) {
      if (protocols === undefined || protocols.some((each) => served.has(each))) thread?.send(message);
    }
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
    const thread = new ServingThread({ setup: place.setup(), start, onReport });
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
    for (const place of this.#places) {
      const { thread } = place;
      if (thread === undefined || !place.isServing) continue;
      const beat = Atomics.load(this.#options.beats, thread.slot);
      const isStill = beat === place.lastBeat && !isExamined(thread.name);
      place.missedChecks = isStill ? place.missedChecks + 1 : 0;
      place.lastBeat = beat;
      if (place.missedChecks < HUNG_AFTER_CHECKS) continue;
      thread.terminate();
      this.#replace(place, "hung", HUNG);
    }
  }

  #replace(place: Place, reason: "died" | "hung", detail: string): void {
    const { thread } = place;
    if (thread === undefined) return;
    place.isServing = false;
    if (this.#stopping.signal.aborted) return;
    this.#options.emit({ kind: "thread_lost", name: thread.name, reason, detail: redactSecrets(detail) });
    place.earlyEnds = performance.now() - place.startedAt < EARLY_MS ? place.earlyEnds + 1 : 0;
    void this.#refill(place, thread);
  }

  async #refill(place: Place, lost: ServingThread): Promise<void> {
    const { emit } = this.#options;
    const { signal } = this.#stopping;
    const { name } = lost;
    await this.#clear(place, lost);
    for (;;) {
      await sleep(delayAfter(place.earlyEnds), undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      const failure = await this.#fill(place).then(
        () => undefined,
        (error: Error) => redactSecrets(error.message),
      );
      if (signal.aborted) return;
      if (failure === undefined) {
        emit({ kind: "thread_started", name, isReplacement: true });
        this.#watch(place);
        return;
      }
      const { thread } = place;
      // Undefined if the system has no room for one more.
      thread?.terminate();
      if (thread !== undefined) await this.#clear(place, thread);
      place.earlyEnds++;
      emit({ kind: "thread_failed_to_start", name, detail: failure, retryInMs: delayAfter(place.earlyEnds) });
    }
  }

  /** Until the thread has ended, it changes what its replacement counts in. */
  async #clear(place: Place, thread: ServingThread): Promise<void> {
    const { signal } = this.#stopping;
    const late = sleep(CLOSE_LIMIT_MS, undefined, { signal, ref: false }).catch(() => {});
    await Promise.race([thread.closed, late]);
    place.thread = undefined;
    this.#options.onLost(thread);
  }
}

const HUNG = `its event loop did not run for ${(HUNG_AFTER_CHECKS * CHECK_EVERY_MS) / 1_000} s`;

/** The first replacement starts at once. */
function delayAfter(earlyEnds: number): number {
  return earlyEnds === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (earlyEnds - 1));
}
