import { Session } from "node:inspector";
import { getHeapSnapshot } from "node:v8";
import { collectGarbage, measureHeap } from "#runtime/threads.ts";
import { type ProfilingOrder, RESTING_INTERVAL_US, reply } from "./orders.ts";
import { toThreadProfile, type V8Profile } from "./v8-profile.ts";

/** Takes the profiles of the thread that it runs in. Loaded by the first order. */
export class ThreadProfiler {
  readonly #thread: string;
  readonly #member = crypto.randomUUID();
  #sampling: Session | undefined;
  /** Settles when the orders until now have been followed. */
  #last: Promise<void> = Promise.resolve();

  constructor(thread: string) {
    this.#thread = thread;
  }

  /**
   * Follows orders one after the other, as they come: otherwise a stop that comes while a start waits for the inspector, or for this
   * code to load, would find nothing to stop, and the thread would take samples for ever.
   */
  follow(order: ProfilingOrder): Promise<void> {
    const followed = this.#last.then(() => this.#follow(order));
    this.#last = followed.catch(() => {});
    return followed;
  }

  async #follow(order: ProfilingOrder): Promise<void> {
    const self = { member: this.#member, thread: this.#thread };
    switch (order.kind) {
      case "roll_call":
        reply(order.replyTo, self);
        return;
      case "start_cpu":
        return await this.#startSampling(order.intervalUs);
      case "stop_cpu": {
        const profile = await this.#stopSampling();
        if (profile === undefined || order.replyTo === undefined) return;
        reply(order.replyTo, { ...self, profile: toThreadProfile(this.#thread, profile) });
        return;
      }
      case "snapshot_heap":
        if (order.member !== this.#member) return;
        await snapshotHeap(order);
        // Otherwise the copies of the snapshot stay until the thread has made as much garbage by itself.
        collectGarbage();
    }
  }

  /** Drops what was sampled before, if anything was. */
  async #startSampling(intervalUs: number): Promise<void> {
    if (this.#sampling !== undefined) {
      await call(this.#sampling, "Profiler.stop");
      await restart(this.#sampling, intervalUs);
      return;
    }
    const session = new Session();
    session.connect();
    this.#sampling = session;
    await call(session, "Profiler.enable");
    await restart(session, intervalUs);
  }

  async #stopSampling(): Promise<V8Profile | undefined> {
    const session = this.#sampling;
    this.#sampling = undefined;
    if (session === undefined) return undefined;
    try {
      const { profile } = await call<{ profile: V8Profile }>(session, "Profiler.stop");
      await restart(session, RESTING_INTERVAL_US);
      await call(session, "Profiler.stop");
      await call(session, "Profiler.disable");
      return profile;
    } finally {
      session.disconnect();
    }
  }
}

async function restart(session: Session, intervalUs: number): Promise<void> {
  await call(session, "Profiler.setSamplingInterval", { interval: intervalUs });
  await call(session, "Profiler.start");
}

function call<T>(session: Session, method: string, parameters: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    session.post(method, parameters, (error: Error | null, result?: object) =>
      error === null ? resolve(result as T) : reject(error),
    );
  });
}

async function snapshotHeap({
  maxObjects = Number.POSITIVE_INFINITY,
  replyTo,
}: Extract<ProfilingOrder, { kind: "snapshot_heap" }>): Promise<void> {
  const { objects, bytes } = measureHeap();
  if (objects > maxObjects) {
    reply(replyTo, { kind: "not_examined", objects, bytes });
    return;
  }
  const parts: Uint8Array[] = [];
  for await (const part of getHeapSnapshot()) parts.push(typeof part === "string" ? Buffer.from(part) : part);
  reply(replyTo, { kind: "snapshot", json: toShared(parts) });
}

/** Bytes in shared memory are not copied on their way to another thread. */
function toShared(parts: readonly Uint8Array[]): SharedArrayBuffer {
  const shared = new Uint8Array(new SharedArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0)));
  let at = 0;
  for (const part of parts) {
    shared.set(part, at);
    at += part.length;
  }
  return shared.buffer;
}
