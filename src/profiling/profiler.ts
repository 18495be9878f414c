import PQueue from "p-queue";
import { startWorker } from "#runtime/threads.ts";
import { untilAborted } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { joinProfiling } from "../platform/profiling/join.ts";
import { broadcast, type CpuReply, type Member, RESTING_INTERVAL_US } from "../platform/profiling/orders.ts";
import type { StackNode, ThreadProfile } from "../platform/profiling/stacks.ts";
import { runningThreads, threadExamined } from "../platform/profiling/threads.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { HeapCall } from "./heap-worker.ts";
import { Replies } from "./replies.ts";

/** A profile of the whole process. Plain data: pprof.ts and devtools.ts turn it into files. */
export interface TakenProfile {
  readonly kind: "cpu" | "heap";
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly threads: readonly ThreadProfile[];
  /** The names of threads that did not reply: they hung, or died. */
  readonly missing: readonly string[];
  /** What no thread accounts for: nanoseconds of CPU time outside JavaScript, or bytes outside its heaps. */
  readonly outside: number;
}

/** Another profile is being taken. */
export class ProfilerBusy extends Error {
  /** When it will be over, as far as this is known. */
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super("another profile is being taken");
    this.retryAfterMs = retryAfterMs;
  }
}

interface CpuOptions {
  readonly seconds: number;
  /** Ends the profile at once; it is not returned. */
  readonly signal: AbortSignal;
  /** Whether to wait for the end of another profile, or to throw {@link ProfilerBusy}. */
  readonly wait: boolean;
}

interface HeapOptions extends Omit<CpuOptions, "seconds"> {
  /**
   * A thread with more objects is not examined, since that pauses it for about 1.3 µs per object, and takes about 400 bytes of memory for
   * each. No limit if undefined.
   */
  readonly maxObjectsPerThread?: number;
  /** The same for the main thread, which serves no clients; {@link maxObjectsPerThread} if undefined. */
  readonly maxObjectsOfMain?: number;
}

/** 100 times a second, as Go's profiler and Google Cloud Profiler do. */
export const SAMPLING_INTERVAL_US = 10_000;

/** A sampler that is at rest takes this long to notice that it is not any more. */
const WAKING_MS = RESTING_INTERVAL_US / 1_000 + 20;

/** A thread replies within some milliseconds, unless its event loop does not run. */
const ROLL_CALL_MS = 1_000;
const CPU_REPLY_MS = 5_000;
const HEAP_REPLY_MS = 15_000;
/** Beside the snapshot, the time to sum it up on a busy machine. */
const HEAP_SUM_MS = 60_000;

/** The name of the main thread, which takes part once there is a profiler. */
const MAIN = "main";

/** Takes profiles of all threads of this process, one at a time. Costs nothing between profiles. */
export class Profiler implements Disposable {
  /** Shared by all profilers of the process, since they give orders to the same threads. */
  static readonly #turns = new PQueue({ concurrency: 1 });
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  /** When the profile that is being taken will be over, on the monotonic clock. */
  #endsAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    joinProfiling(MAIN);
  }

  /** Resolves when the time is over. Throws the reason of the signal, or {@link ProfilerBusy}. */
  takeCpu({ seconds, ...options }: CpuOptions): Promise<TakenProfile> {
    return this.#inTurn(options, (signal) => this.#sample(seconds * 1_000, signal));
  }

  /** Throws the reason of the signal, or {@link ProfilerBusy}. */
  takeHeap(options: HeapOptions): Promise<TakenProfile> {
    return this.#inTurn(options, (signal) => this.#examine(options, signal));
  }

  /** Ends the profile that is being taken. */
  [Symbol.dispose](): void {
    this.#stop.abort(new Error("the relay is shutting down"));
  }

  async #inTurn(
    { signal, wait }: Pick<CpuOptions, "signal" | "wait">,
    take: (signal: AbortSignal) => Promise<TakenProfile>,
  ): Promise<TakenProfile> {
    const turns = Profiler.#turns;
    const isBusy = turns.pending + turns.size > 0;
    if (isBusy && !wait) throw new ProfilerBusy(Math.max(0, this.#endsAt - this.#clock.elapsed()));
    const ending = AbortSignal.any([signal, this.#stop.signal]);
    ending.throwIfAborted();
    const turn = turns.add(async () => {
      ending.throwIfAborted();
      return await take(ending);
    });
    return await untilAborted(turn, ending);
  }

  async #sample(ms: number, signal: AbortSignal): Promise<TakenProfile> {
    this.#endsAt = this.#clock.elapsed() + WAKING_MS + ms;
    const members = await this.#callRoll(signal);
    using replies = new Replies<CpuReply>();
    using sampling = new DisposableStack();
    sampling.defer(() => broadcast({ kind: "stop_cpu" }));
    broadcast({ kind: "start_cpu", intervalUs: SAMPLING_INTERVAL_US });
    await this.#clock.sleep(WAKING_MS, signal);
    // By now the samplers of all threads have the interval.
    broadcast({ kind: "start_cpu", intervalUs: SAMPLING_INTERVAL_US });
    const startedAt = this.#clock.now();
    const [started, usage] = [this.#clock.elapsed(), process.cpuUsage()];
    await this.#clock.sleep(ms, signal);
    const durationMs = this.#clock.elapsed() - started;
    const { user, system } = process.cpuUsage(usage);
    sampling.move();
    broadcast({ kind: "stop_cpu", replyTo: replies.name });
    // Threads that joined since then reply as well.
    const silent = () => {
      const replied = new Set(replies.received.map(({ member }) => member));
      return members.present.filter(({ member }) => !replied.has(member));
    };
    await replies.collect(() => silent().length === 0, CPU_REPLY_MS, { clock: this.#clock, signal });
    const profiles = replies.received.map(({ profile }) => profile);
    const missing = [...members.missing, ...namesOf(silent())];
    const timed = timeSamples(profiles, (user + system) * 1_000);
    return { kind: "cpu", startedAt, durationMs, ...timed, missing };
  }

  async #examine(
    {
      maxObjectsPerThread: ofOthers,
      maxObjectsOfMain: ofMain = ofOthers,
    }: Pick<HeapOptions, "maxObjectsPerThread" | "maxObjectsOfMain">,
    signal: AbortSignal,
  ): Promise<TakenProfile> {
    const { present, missing } = await this.#callRoll(signal);
    const startedAt = this.#clock.now();
    const started = this.#clock.elapsed();
    // Before the snapshots, which are memory themselves.
    const resident = process.memoryUsage.rss();
    await using worker = startHeapWorker();
    const threads: ThreadProfile[] = [];
    const silent: string[] = [];
    // One after the other, so that not all threads pause at once.
    for (const { member, thread } of present) {
      using _ = threadExamined(thread);
      const maxObjects = thread === MAIN ? ofMain : ofOthers;
      signal.throwIfAborted();
      // A thread cannot be stopped once it examines its heap. Until then it gets no such order again.
      const call = worker.call({ member, maxObjects, limitMs: HEAP_REPLY_MS });
      // One heap that cannot be read, such as a Worker without memory for it, costs no profile of the others.
      const nodes = await untilAborted(
        call.catch(() => undefined),
        this.#stop.signal,
      );
      if (nodes === undefined) silent.push(thread);
      else threads.push({ thread, nodes });
    }
    const durationMs = this.#clock.elapsed() - started;
    const outside = Math.max(0, resident - sum(threads, ({ value }) => value));
    const named = numberEqualNames(threads);
    return { kind: "heap", startedAt, durationMs, threads: named, missing: [...missing, ...silent], outside };
  }

  async #callRoll(signal: AbortSignal): Promise<{ present: readonly Member[]; missing: readonly string[] }> {
    using replies = new Replies<Member>();
    const expected = [MAIN, ...runningThreads()];
    broadcast({ kind: "roll_call", replyTo: replies.name });
    const isComplete = () => replies.received.length >= expected.length;
    await replies.collect(isComplete, ROLL_CALL_MS, { clock: this.#clock, signal });
    return { present: replies.received, missing: without(expected, namesOf(replies.received)) };
  }
}

function startHeapWorker(): WorkerCalls<HeapCall, readonly StackNode[] | undefined> {
  return new WorkerCalls({
    name: "the worker that reads heap snapshots",
    start: () => startWorker(new URL("./heap-worker.ts", import.meta.url)),
    // The call that waits for it is rejected.
    onLost: () => {},
    limitMs: HEAP_REPLY_MS + HEAP_SUM_MS,
  });
}

/**
 * Gives each sample its time. The sampler goes by the wall clock: on a busy machine a thread has less CPU time than samples, so that
 * all of them together are never more than the CPU time of the process.
 */
function timeSamples(
  profiles: readonly ThreadProfile[],
  cpuNs: number,
): Pick<TakenProfile, "threads" | "outside"> {
  const samples = sum(profiles, ({ count }) => count);
  const sampleNs = Math.min(SAMPLING_INTERVAL_US * 1_000, Math.floor(cpuNs / Math.max(1, samples)));
  const threads = profiles.map((profile) => ({
    ...profile,
    nodes: profile.nodes.map((node) => ({ ...node, value: node.count * sampleNs })),
  }));
  return { threads: numberEqualNames(threads), outside: cpuNs - samples * sampleNs };
}

function sum(threads: readonly ThreadProfile[], of: (node: StackNode) => number): number {
  return threads.reduce((total, { nodes }) => nodes.reduce((all, node) => all + of(node), total), 0);
}

function namesOf(members: readonly Member[]): readonly string[] {
  return members.map(({ thread }) => thread);
}

/** Returns what is in `names` more often than in `others`. */
function without(names: readonly string[], others: readonly string[]): string[] {
  const rest = [...others];
  return names.filter((name) => {
    const at = rest.indexOf(name);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

/** Threads of several relays in one process have the same names. */
function numberEqualNames(threads: readonly ThreadProfile[]): readonly ThreadProfile[] {
  const seen = new Map<string, number>();
  return threads.map((profile) => {
    const nth = (seen.get(profile.thread) ?? 0) + 1;
    seen.set(profile.thread, nth);
    return nth === 1 ? profile : { ...profile, thread: `${profile.thread} (${nth})` };
  });
}
