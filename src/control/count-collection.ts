import type { Counted } from "../serving/messages.ts";
import type { ServingThread } from "./serving-thread.ts";

/** How long readers of metrics wait for threads that are busy. What those counted is in the next reading. */
const WAIT_MS = 40;

/** Where the counts of threads are added up. */
export interface CountReceivers {
  readonly http: {
    merge(counted: Counted["requests"]): void;
    readonly sdks: { merge(counted: Counted["sdks"]): void };
  };
  readonly rpc: { merge(counted: Counted["rpcs"]): void };
}

interface CountCollectionOptions extends CountReceivers {
  readonly threads: () => Iterable<ServingThread>;
}

/** Brings what the serving threads counted into the metrics. */
export class CountCollection {
  readonly #options: CountCollectionOptions;
  /** For each thread, what its next replies resolve, in order. */
  readonly #awaited = new Map<ServingThread, (() => void)[]>();
  /** The threads that did not reply in time, and have not done so since. No collection waits for them again. */
  readonly #late = new Set<ServingThread>();

  constructor(options: CountCollectionOptions) {
    this.#options = options;
  }

  add({ requests, rpcs, sdks, isReply }: Counted, thread: ServingThread): void {
    const { http, rpc } = this.#options;
    http.merge(requests);
    rpc.merge(rpcs);
    http.sdks.merge(sdks);
    if (!isReply) return;
    this.#late.delete(thread);
    this.#awaited.get(thread)?.shift()?.();
  }

  /** Resolves when all threads have sent their counts, and after {@link WAIT_MS} at the latest. */
  async collect(): Promise<void> {
    const asked = [...this.#options.threads()].filter((thread) => !this.#late.has(thread));
    const replies = asked.map((thread) => this.#ask(thread));
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      for (const thread of asked) if (this.#awaited.get(thread)?.length) this.#late.add(thread);
      resolve();
    }, WAIT_MS);
    await Promise.race([Promise.all(replies), over]);
    clearTimeout(timer);
  }

  /** Resolves when all threads have received what was sent to them before, and after `ms` milliseconds at the latest. */
  async reach(ms: number): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    // A thread replies to its messages in order.
    await Promise.race([Promise.all([...this.#options.threads()].map((thread) => this.#ask(thread))), over]);
    clearTimeout(timer);
  }

  /** The thread will not reply any more. */
  forget(thread: ServingThread): void {
    for (const resolve of this.#awaited.get(thread) ?? []) resolve();
    this.#awaited.delete(thread);
    this.#late.delete(thread);
  }

  #ask(thread: ServingThread): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const awaited = this.#awaited.get(thread) ?? [];
    awaited.push(resolve);
    this.#awaited.set(thread, awaited);
    thread.send({ kind: "collect" });
    thread.flush();
    return promise;
  }
}
