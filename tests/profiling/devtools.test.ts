import { expect, test } from "bun:test";
import type { StackNode, ThreadProfile } from "../../src/platform/profiling/stacks.ts";
import { encodeDevtools } from "../../src/profiling/devtools.ts";

const node = (name: string): StackNode => ({
  frame: { name, file: "src/a.ts", line: 1, column: 1 },
  parent: -1,
  count: 1,
  value: 1,
});

/** A thread with one function, which was sampled at these microseconds. */
const thread = (name: string, atUs: readonly number[]): ThreadProfile => ({
  thread: name,
  nodes: [node(`function of ${name}`)],
  timeline: { nodes: atUs.map(() => 0), atUs },
});

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  readonly startTime: number;
  readonly endTime: number;
}

/** Returns `[function, microseconds since the start]` of each sample, and where the profile ends. */
function encode(threads: readonly ThreadProfile[], durationMs: number) {
  const taken = { kind: "cpu", startedAt: 1_000, durationMs, threads, missing: [], outside: 0 } as const;
  const profile = JSON.parse(encodeDevtools(taken)) as CpuProfile;
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame.functionName]));
  let at = 0;
  const samples = profile.samples.map((id, index) => {
    at += profile.timeDeltas[index] ?? Number.NaN;
    return [names.get(id), at];
  });
  return { samples, lengthUs: profile.endTime - profile.startTime };
}

test("threads follow one another, with idle time between samples that are far apart", () => {
  const { samples, lengthUs } = encode([thread("main", [0, 10_000, 50_000]), thread("http-1", [20_000])], 60);
  expect(lengthUs).toBe(120_000);
  expect(samples).toEqual([
    ["(idle)", 0],
    ["function of main", 0],
    ["function of main", 10_000],
    ["(idle)", 20_000],
    ["function of main", 50_000],
    ["(idle)", 60_000],
    ["function of http-1", 80_000],
    ["(idle)", 90_000],
    ["(outside JavaScript)", 120_000],
    ["(idle)", 120_000],
  ]);
});

test("samples that a thread took after the end of the profile are put at its end", () => {
  const late = [59_000, 61_000, 90_000];
  const { samples, lengthUs } = encode([thread("main", late), thread("http-1", late)], 60);
  expect(lengthUs).toBe(120_000);
  expect(samples.filter(([name]) => name === "function of main").map(([, at]) => at)).toEqual([
    59_000, 60_000, 60_000,
  ]);
  expect(samples.at(-1)).toEqual(["(idle)", 120_000]);
});
