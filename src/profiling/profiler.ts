import PQueue from "p-queue";
import { startWorker } from "#runtime/threads.ts";
import { untilAborted } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { joinProfiling } from "../platform/profiling/join.ts";
import { broadcast, type CpuReply, type Member, RESTING_INTERVAL_US } from "../platform/profiling/orders.ts";
import type { StackNode, ThreadProfile } from "../platform/profiling/stacks.ts";
import { threadExamined } from "../platform/profiling/threads.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { HeapCall } from "./heap-worker.ts";
import { Replies } from "./replies.ts";
import { MAIN, RollCall } from "./roll-call.ts";

/** A profile of the whole process. Plain data: pprof.ts and devtools.ts turn it into files. */
export interface TakenProfile {
  readonly kind: "cpu" | "heap";
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly threads: readonly ThreadProfile[];
  /** The names of threads that did not reply: they hang, were busy all the time, or died. */
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

/** The relay is shutting down, which ends all profiles. */
export class ProfilerStopped extends Error {
  constructor() {
    super("the relay is shutting down");
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

const CPU_REPLY_MS = 5_000;
const HEAP_REPLY_MS = 15_000;
/** Beside the snapshot, the time to sum it up on a busy machine. */
const HEAP_SUM_MS = 60_000;

/** How much longer a thread may be in its snapshot without counting as one that hangs. */
const LATE_HEAP_REPLY_MS = 120_000;

/** Takes profiles of all threads of this process, one at a time. Costs nothing between profiles. */
export class Profiler implements Disposable {
  /** Shared by all profilers of the process, since they give orders to the same threads. */
  static readonly #turns = new PQueue({ concurrency: 1 });
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #heapReplyMs: number;
  /** When the CPU profile that is being taken will be over, on the monotonic clock. 0 if there is none. */
  #endsAt = 0;

  /** `heapReplyMs`: how long a heap profile waits for the snapshot of each thread. */
  constructor(clock: Clock, heapReplyMs = HEAP_REPLY_MS) {
    this.#clock = clock;
    this.#heapReplyMs = heapReplyMs;
    joinProfiling(MAIN);
  }

  /** Resolves when the time is over. Throws the reason of the signal, {@link ProfilerBusy} or {@link ProfilerStopped}. */
  takeCpu({ seconds, ...options }: CpuOptions): Promise<TakenProfile> {
    return this.#inTurn(options, (signal) => this.#sample(seconds * 1_000, signal));
  }

  /** Throws the reason of the signal, {@link ProfilerBusy} or {@link ProfilerStopped}. */
  takeHeap(options: HeapOptions): Promise<TakenProfile> {
    return this.#inTurn(options, (signal) => this.#examine(options, signal));
  }

  /** Ends the profile that is being taken. Calling it again changes nothing. */
  [Symbol.dispose](): void {
    this.#stop.abort(new ProfilerStopped());
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
      try {
        return await take(ending);
      } finally {
        this.#endsAt = 0;
      }
    });
    return await untilAborted(turn, ending);
  }

  async #sample(ms: number, signal: AbortSignal): Promise<TakenProfile> {
    this.#endsAt = this.#clock.elapsed() + WAKING_MS + ms;
    using roll = new RollCall();
    await roll.call({ clock: this.#clock, signal });
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
    const isComplete = () => roll.owing(replies.received).length === 0;
    await replies.collect(isComplete, CPU_REPLY_MS, { clock: this.#clock, signal });
    const profiles = replies.received.map(({ profile }) => profile);
    const missing = roll.missing(replies.received);
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
    using roll = new RollCall();
    await roll.call({ clock: this.#clock, signal });
    const startedAt = this.#clock.now();
    const started = this.#clock.elapsed();
    // Before the snapshots, which are memory themselves.
    const resident = process.memoryUsage.rss();
    await using worker = startHeapWorker(this.#heapReplyMs);
    const threads: ThreadProfile[] = [];
    const delivered: Member[] = [];
    // One after the other, so that not all threads pause at once. Those that answer meanwhile have their turn as well.
    for (const member of roll.present) {
      const { thread } = member;
      if (!roll.owing(delivered).includes(thread)) continue;
      signal.throwIfAborted();
      const nodes = await this.#examineThread(worker, member, thread === MAIN ? ofMain : ofOthers);
      if (nodes === undefined) continue;
      delivered.push(member);
      threads.push({ thread, nodes });
    }
    const durationMs = this.#clock.elapsed() - started;
    const outside = Math.max(0, resident - sum(threads, ({ value }) => value));
    const missing = roll.missing(delivered);
    return { kind: "heap", startedAt, durationMs, threads: numberEqualNames(threads), missing, outside };
  }

  /** Resolves with undefined if the thread does not reply in time. Rejects when the relay is shutting down. */
  async #examineThread(
    worker: HeapWorker,
    { member, thread }: Member,
    maxObjects: number | undefined,
  ): Promise<readonly StackNode[] | undefined> {
    using marked = new DisposableStack();
    marked.use(threadExamined(thread));
    // A thread cannot be stopped once it examines its heap. Until then it gets no such order again.
    const call = worker.call({ member, maxObjects, limitMs: this.#heapReplyMs });
    // One heap that cannot be read, such as a Worker without memory for it, costs no profile of the others.
    const nodes = await untilAborted(
      call.catch(() => undefined),
      this.#stop.signal,
    );
    if (nodes === undefined) void this.#keepUntilFree(marked.move(), member);
    return nodes;
  }

  /** The thread may still be in its snapshot: keeps what marks it until it follows orders again. */
  async #keepUntilFree(marked: DisposableStack, member: string): Promise<void> {
    using _ = marked;
    using answers = new Replies<Member>();
    broadcast({ kind: "roll_call", replyTo: answers.name });
    const isFree = () => answers.received.some((answer) => answer.member === member);
    const parts = { clock: this.#clock, signal: this.#stop.signal };
    await answers.collect(isFree, LATE_HEAP_REPLY_MS, parts).catch(() => {});
  }
}

type HeapWorker = WorkerCalls<HeapCall, readonly StackNode[] | undefined>;

function startHeapWorker(replyMs: number): HeapWorker {
  return new WorkerCalls({
    name: "the worker that reads heap snapshots",
    start: () => startWorker(new URL("./heap-worker.ts", import.meta.url)),
    // The call that waits for it is rejected.
    onLost: () => {},
    limitMs: replyMs + HEAP_SUM_MS,
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

/** Threads of several relays in one process have the same names. */
function numberEqualNames(threads: readonly ThreadProfile[]): readonly ThreadProfile[] {
  const seen = new Map<string, number>();
  return threads.map((profile) => {
    const nth = (seen.get(profile.thread) ?? 0) + 1;
    seen.set(profile.thread, nth);
    return nth === 1 ? profile : { ...profile, thread: `${profile.thread} (${nth})` };
  });
}
