import type { ThreadProfile } from "../platform/profiling/stacks.ts";

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
export class ProfilerBusy extends Error {}

interface CpuOptions {
  readonly seconds: number;
  /** Ends the profile at once; it is not returned. */
  readonly signal: AbortSignal;
  /** Whether to wait for the end of another profile, or to throw {@link ProfilerBusy}. */
  readonly wait: boolean;
}

interface HeapOptions extends Omit<CpuOptions, "seconds"> {
  /** A thread with more objects is not examined, since that pauses it for about 1.3 µs per object. No limit if undefined. */
  readonly maxObjectsPerThread?: number;
}

/** Takes profiles of all threads of this process, one at a time. */
export class Profiler {
  /** Resolves when the time is over. Throws the reason of the signal, or {@link ProfilerBusy}. */
  takeCpu(_options: CpuOptions): Promise<TakenProfile> {
    throw new Error("not yet");
  }

  /** Throws the reason of the signal, or {@link ProfilerBusy}. */
  takeHeap(_options: HeapOptions): Promise<TakenProfile> {
    throw new Error("not yet");
  }
}
