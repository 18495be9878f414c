import type { StackFrame, StackNode, ThreadProfile, Timeline } from "./stacks.ts";

/** A CPU profile as the inspector returns it: `Profiler.Profile` of the Chrome DevTools Protocol. */
export interface V8Profile {
  readonly nodes: readonly V8Node[];
  /** Microseconds, on the clock of {@link timeDeltas}. */
  readonly startTime: number;
  /** The IDs of the nodes on top. */
  readonly samples: readonly number[];
  /** Microseconds since the sample before; for the first one, since the start. */
  readonly timeDeltas: readonly number[];
}

interface V8Node {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    /** From 0; -1 for what has no place in a file. */
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
  readonly children?: readonly number[];
  readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[];
}

/** The root, which every stack begins with, says nothing. */
const ROOT = "(root)";

/** V8, unlike JavaScriptCore, also samples threads that wait, or run no JavaScript. */
const NOT_RUNNING: ReadonlySet<string> = new Set(["(idle)", "(program)"]);

/** Returns the profile as plain stacks. The time of the samples is left to the caller. */
export function toThreadProfile(thread: string, profile: V8Profile): ThreadProfile {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const isRunning = (id: number) => !NOT_RUNNING.has(byId.get(id)?.callFrame.functionName ?? "");
  const counts = new Map<number, number>();
  for (const id of profile.samples) if (isRunning(id)) counts.set(id, (counts.get(id) ?? 0) + 1);
  const indexes = new Map<number, number>();
  const nodes: StackNode[] = [];
  const children = new Set(profile.nodes.flatMap((node) => node.children ?? []));
  const visits = profile.nodes.filter(({ id }) => !children.has(id)).map((node) => ({ node, parent: -1 }));
  for (let visit = visits.pop(); visit !== undefined; visit = visits.pop()) {
    const { node, parent } = visit;
    const { functionName } = node.callFrame;
    const isRoot = parent === -1 && functionName === ROOT && !counts.has(node.id);
    const isLeftOut = isRoot || NOT_RUNNING.has(functionName);
    const index = isLeftOut ? -1 : nodes.length;
    if (!isLeftOut) {
      indexes.set(node.id, index);
      nodes.push(toStackNode(node, parent, counts.get(node.id) ?? 0));
    }
    for (const id of node.children ?? []) {
      const child = byId.get(id);
      if (child !== undefined) visits.push({ node: child, parent: index });
    }
  }
  return { thread, nodes, timeline: toTimeline(profile, indexes) };
}

function toTimeline({ samples, timeDeltas }: V8Profile, indexes: ReadonlyMap<number, number>): Timeline {
  const timeline = { nodes: [] as number[], atUs: [] as number[] };
  let at = 0;
  samples.forEach((id, sample) => {
    at += timeDeltas[sample] ?? 0;
    const node = indexes.get(id);
    if (node === undefined) return;
    timeline.nodes.push(node);
    timeline.atUs.push(at);
  });
  return timeline;
}

function toStackNode({ callFrame, positionTicks = [] }: V8Node, parent: number, count: number): StackNode {
  const [hottest] = positionTicks.toSorted((one, other) => other.ticks - one.ticks);
  const frame: StackFrame = {
    name: callFrame.functionName || "(anonymous)",
    file: toProjectPath(callFrame.url),
    line: callFrame.lineNumber + 1,
    column: callFrame.columnNumber + 1,
  };
  return { frame, parent, count, value: 0, ...(hottest && { hotLine: hottest.line }) };
}

/** The URL of the folder that has `src`, if this module runs from its source. */
const [PROJECT = ""] = import.meta.url.split("src/platform/");

/**
 * Returns the path of a file from the project's root, as source maps of the executable have it. Other paths of this machine
 * become the name of the file alone, since profiles leave it.
 */
function toProjectPath(url: string): string {
  const installed = url.lastIndexOf("node_modules/");
  if (installed >= 0) return url.slice(installed);
  if (url.startsWith(PROJECT)) return url.slice(PROJECT.length);
  // Modules of the runtime, such as node:http.
  if (url === "" || /^(?!file:)[a-z]+:/i.test(url)) return url;
  return url.startsWith("src/") ? url : url.slice(url.lastIndexOf("/") + 1);
}
