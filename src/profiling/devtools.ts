import type { StackFrame, ThreadProfile } from "../platform/profiling/stacks.ts";
import { OUTSIDE } from "./pprof.ts";
import { SAMPLING_INTERVAL_US, type TakenProfile } from "./profiler.ts";

/** Returns the profile as JSON text that Chrome DevTools reads: a `.cpuprofile`, or a `.heapprofile`. */
export function encodeDevtools(profile: TakenProfile): string {
  return JSON.stringify(profile.kind === "cpu" ? toCpuProfile(profile) : toHeapProfile(profile));
}

interface CallFrame {
  readonly functionName: string;
  readonly scriptId: "0";
  readonly url: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

function toCallFrame({ name, file, line, column }: StackFrame): CallFrame {
  return {
    functionName: name,
    scriptId: "0",
    url: file,
    lineNumber: line - 1,
    columnNumber: column - 1,
  };
}

function named(name: string): CallFrame {
  return toCallFrame({ name, file: "", line: 0, column: 0 });
}

interface CpuNode {
  readonly id: number;
  readonly callFrame: CallFrame;
  readonly children: number[];
  hitCount: number;
}

/** The format has one thread: the threads are put one after the other, each below a frame with its name. */
function toCpuProfile({ threads, durationMs, outside, startedAt }: TakenProfile) {
  const tape = new Tape();
  const start = startedAt * 1_000;
  threads.forEach((thread, at) => {
    recordThread(tape, thread, { startUs: at * durationMs * 1_000, durationUs: durationMs * 1_000 });
  });
  const endOfThreads = threads.length * durationMs * 1_000;
  const end = endOfThreads + outside / 1_000;
  tape.sample(tape.add(named(OUTSIDE.cpu), tape.root), endOfThreads);
  tape.sample(tape.idle, end);
  const { nodes, samples, timeDeltas } = tape;
  return { nodes, startTime: start, endTime: start + end, samples, timeDeltas };
}

/** Nodes and samples of a `.cpuprofile`, which grow. A sample lasts until the next one. */
class Tape {
  readonly nodes: CpuNode[] = [];
  readonly samples: number[] = [];
  readonly timeDeltas: number[] = [];
  readonly root = this.add(named("(root)"));
  /** DevTools does not show this node. */
  readonly idle = this.add(named("(idle)"), this.root);
  #lastUs = 0;

  add(callFrame: CallFrame, parent?: CpuNode): CpuNode {
    const node = { id: this.nodes.length + 1, callFrame, children: [], hitCount: 0 };
    this.nodes.push(node);
    parent?.children.push(node.id);
    return node;
  }

  sample(node: CpuNode, atUs: number): void {
    const at = Math.max(this.#lastUs, Math.round(atUs));
    node.hitCount++;
    this.samples.push(node.id);
    this.timeDeltas.push(at - this.#lastUs);
    this.#lastUs = at;
  }
}

/** Samples that are missing mean that the thread was idle, or outside JavaScript. */
const LONGEST_SAMPLE_US = 1.5 * SAMPLING_INTERVAL_US;

function recordThread(
  tape: Tape,
  { thread, nodes, timeline }: ThreadProfile,
  { startUs, durationUs }: { readonly startUs: number; readonly durationUs: number },
): void {
  const top = tape.add(named(`thread ${thread}`), tape.root);
  const added: CpuNode[] = [];
  for (const { frame, parent } of nodes) added.push(tape.add(toCallFrame(frame), added[parent] ?? top));
  tape.sample(tape.idle, startUs);
  const { nodes: tops = [], atUs = [] } = timeline ?? {};
  tops.forEach((index, sample) => {
    // A thread stops later than the profile ends, and its samples may not go into the next thread's time.
    const at = Math.min(atUs[sample] ?? 0, durationUs);
    const node = added[index];
    if (node !== undefined) tape.sample(node, startUs + at);
    const next = Math.min(atUs[sample + 1] ?? durationUs, durationUs);
    if (next - at > LONGEST_SAMPLE_US) tape.sample(tape.idle, startUs + at + SAMPLING_INTERVAL_US);
  });
}

interface HeapNode {
  readonly id: number;
  readonly callFrame: CallFrame;
  readonly selfSize: number;
  readonly children: HeapNode[];
}

function toHeapProfile({ threads, outside }: TakenProfile) {
  let lastId = 0;
  const create = (callFrame: CallFrame, selfSize: number): HeapNode => {
    return { id: ++lastId, callFrame, selfSize, children: [] };
  };
  const head = create(named("(root)"), 0);
  for (const { thread, nodes } of threads) {
    const top = create(named(`thread ${thread}`), 0);
    head.children.push(top);
    const created: HeapNode[] = [];
    for (const { frame, parent, value } of nodes) {
      const node = create(toCallFrame(frame), value);
      created.push(node);
      (created[parent] ?? top).children.push(node);
    }
  }
  head.children.push(create(named(OUTSIDE.heap), Math.round(outside)));
  return { head, samples: [] };
}
