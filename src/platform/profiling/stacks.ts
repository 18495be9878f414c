/** Where a function, or a reference in the heap, is in the sources. */
export interface StackFrame {
  /** The name of a function or of a class, or in parentheses what else it stands for. */
  readonly name: string;
  /** From the project's root, such as `src/specs/store.ts`; empty for what is part of the runtime. */
  readonly file: string;
  /** From 1; 0 if there is none. */
  readonly line: number;
  readonly column: number;
}

/** A frame under its caller; in the heap, what is held under what holds it. */
export interface StackNode {
  readonly frame: StackFrame;
  /** The index of the caller, which comes before this node; -1 for a node without one. */
  readonly parent: number;
  /** Samples with this frame on top, or objects held by it. Not those of the nodes below. */
  readonly count: number;
  /** Nanoseconds of those samples, or bytes of those objects. */
  readonly value: number;
  /** CPU only: the line with the most of the samples; 0 if it is not known. */
  readonly hotLine?: number;
}

/** When the samples of a thread were taken, for tools that show a profile over time. */
export interface Timeline {
  /** The node on top in each sample, in the order of time. */
  readonly nodes: readonly number[];
  /** Microseconds from the start of the profile, one for each of `nodes`. */
  readonly atUs: readonly number[];
}

/** What one thread did or held. Plain data, which can be sent between threads. */
export interface ThreadProfile {
  /** Such as `main` or `http-1`. Two threads of a profile never have the same. */
  readonly thread: string;
  readonly nodes: readonly StackNode[];
  /** Undefined in a heap profile. */
  readonly timeline?: Timeline;
}
