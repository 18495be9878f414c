import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type DecodedProfile, framesOf, threadsOf, totalOf } from "../support/profiling/decoded-profile.ts";
import { PROFILED_KEY, type ProfiledRelay, startProfiledRelay } from "../support/profiling/profiled-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";

let profiled: ProfiledRelay;
beforeAll(async () => {
  profiled = await startProfiledRelay();
});
afterAll(() => profiled[Symbol.asyncDispose]());

describe("a CPU profile of a relay under load", () => {
  test("has the functions of the relay in serving threads and the main thread, and adds up to the CPU time", async () => {
    await using _load = await profiled.load();
    // The first profile loads the code that takes it, which is CPU time outside of it.
    await profiled.take("profile?seconds=1");
    const cpuBefore = profiled.relay.cpuMs();
    const before = Date.now();
    const profile = await profiled.take("profile?seconds=3");
    const tookMs = Date.now() - before;
    const cpuMs = profiled.relay.cpuMs() - cpuBefore;

    expect(profile.sampleTypes).toEqual([
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ]);
    expect(profile.period).toBe(10_000_000);
    expect(profile.durationMs).toBeGreaterThan(2_990);
    expect(profile.timeMs).toBeGreaterThanOrEqual(before);
    expect(profile.timeMs).toBeLessThan(Date.now());
    expect(profile.comments).toEqual([]);

    const frames = [...framesOf(profile, "http-")];
    expect(frames).toContain("received src/http/http1/connection.ts");
    // Samples may miss any single short function.
    expect(frames.join("\n")).toContain(" src/http/handler.ts");
    expect([...framesOf(profile, "main")].join("\n")).toContain(" src/");
    expect(threadsOf(profile)).toEqual(expect.arrayContaining(["http-1", "http-2", "main"]));

    // The counter of the system covers more than the profile: what comes before, and its encoding, which take longer on a busy machine.
    const totalMs = totalOf(profile, "value") / 1e6;
    expect(totalMs).toBeLessThan(cpuMs + 20);
    expect(totalMs).toBeGreaterThan(0.5 * cpuMs * (profile.durationMs / tookMs));
    const [outside, ...others] = profile.samples.filter(({ thread }) => thread === undefined);
    expect(others).toEqual([]);
    expect(outside?.stack.map(({ name }) => name)).toEqual(["(outside JavaScript)"]);
    expect(outside?.count).toBe(0);
    for (const { count, value } of profile.samples) {
      if (count > 0) expect(value / count).toBeLessThanOrEqual(10_000_000);
    }
  });

  test("names lines of the sources and no path of the machine", async () => {
    await using _load = await profiled.load();
    const { samples } = await profiled.take("profile?seconds=1");
    const frames = samples.flatMap(({ stack }) => stack);
    const ours = frames.filter(({ file }) => file.startsWith("src/"));
    expect(ours.length).toBeGreaterThan(10);
    expect(ours.filter(({ line }) => line < 1)).toEqual([]);
    const isKnown = (file: string) =>
      file === "" || /^(src|node_modules)\//.test(file) || /^[a-z]+:[^/]/.test(file) || !file.includes("/");
    expect(frames.filter(({ file }) => !isKnown(file))).toEqual([]);
  });

  test("for Chrome DevTools has the same functions, one thread after the other", async () => {
    await using _load = await profiled.load();
    const response = await profiled.order("profile?seconds=3&format=devtools");
    expect(response.headers.get("content-disposition")).toMatch(/-cpu-\d{8}T\d{6}Z\.cpuprofile"$/);
    const profile = (await response.json()) as CpuProfile;
    const ids = new Set(profile.nodes.map(({ id }) => id));
    const [root, ...others] = profile.nodes;
    expect(root?.callFrame.functionName).toBe("(root)");
    const children = profile.nodes.flatMap((node) => node.children);
    expect(children.toSorted((a, b) => a - b)).toEqual(others.map(({ id }) => id));
    expect(profile.samples.every((id) => ids.has(id))).toBe(true);
    expect(profile.timeDeltas).toHaveLength(profile.samples.length);
    expect(profile.timeDeltas.every((delta) => delta >= 0)).toBe(true);
    const length = profile.timeDeltas.reduce((sum, delta) => sum + delta, 0);
    expect(Math.abs(length - (profile.endTime - profile.startTime))).toBeLessThan(10);
    const frames = profile.nodes.map(({ callFrame }) => `${callFrame.functionName} ${callFrame.url}`.trim());
    expect(frames).toEqual(
      expect.arrayContaining(["thread main", "thread http-1", "received src/http/http1/connection.ts"]),
    );
  });
});

/** Takes a profile, and the memory of the relay all the while, which grows by the snapshots and shrinks again. */
async function takeWatched(path: string) {
  const residentBytes: number[] = [];
  const watch = () => residentBytes.push(profiled.relay.rssBytes());
  watch();
  const watching = setInterval(watch, 50);
  try {
    const profile = await profiled.take(path);
    watch();
    return { profile, residentBytes };
  } finally {
    clearInterval(watching);
  }
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly children: readonly number[];
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  readonly startTime: number;
  readonly endTime: number;
}

// On Deno, the snapshots of a relay under load take longer than this test may.
describe.skipIf(isOnDeno)("a heap profile", () => {
  test("has the classes and properties of the relay, and adds up to the memory of the process", async () => {
    await profiled.take("heap");
    const { profile, residentBytes } = await takeWatched("heap");
    expect(profile.sampleTypes).toEqual([
      ["objects", "count"],
      ["space", "bytes"],
    ]);
    expect(threadsOf(profile)).toEqual(
      expect.arrayContaining(["http-1", "http-2", "http2-1", "http2-2", "main", "payload worker"]),
    );
    expect([...framesOf(profile, "main")].join("\n")).toMatch(/SpecStore|MetricRegistry|Supervisor/);
    const total = totalOf(profile, "value");
    expect(total).toBeGreaterThan(0.7 * Math.min(...residentBytes));
    expect(total).toBeLessThan(1.3 * Math.max(...residentBytes));
    const [outside] = profile.samples.filter(({ thread }) => thread === undefined);
    expect(outside?.stack.map(({ name }) => name)).toEqual(["(outside JavaScript heaps)"]);
    // What is outside is the rest, so that the sum alone says nothing about the heaps.
    expect(bytesIn(profile, "main")).toBeGreaterThan(5_000_000);
    expect(bytesIn(profile, "http-1")).toBeGreaterThan(1_000_000);
    expect(threadsOf(profile).reduce((sum, thread) => sum + bytesIn(profile, thread), 0)).toBeGreaterThan(
      15_000_000,
    );
    expect(Math.max(...profile.samples.map(({ stack }) => stack.length))).toBeLessThanOrEqual(12);
  }, 90_000);

  test("contains no SDK key and no text of a config", async () => {
    await using _load = await profiled.load();
    const profile = JSON.stringify(await profiled.take("heap"));
    expect(profile).not.toContain(PROFILED_KEY);
    expect(profile).not.toContain("secret-");
    expect(profile).not.toContain("color 0");
  }, 90_000);

  test("for Chrome DevTools is a tree with the same bytes", async () => {
    const response = await profiled.order("heap?format=devtools");
    expect(response.headers.get("content-disposition")).toMatch(/-heap-\d{8}T\d{6}Z\.heapprofile"$/);
    const { head } = (await response.json()) as { readonly head: HeapNode };
    const names = head.children.map(({ callFrame }) => callFrame.functionName);
    expect(names).toEqual(
      expect.arrayContaining(["thread main", "thread http-1", "(outside JavaScript heaps)"]),
    );
    expect(bytesOf(head)).toBeGreaterThan(30_000_000);
  });
});

interface HeapNode {
  readonly callFrame: { readonly functionName: string };
  readonly selfSize: number;
  readonly children: readonly HeapNode[];
}

function bytesOf({ selfSize, children }: HeapNode): number {
  return children.reduce((sum, child) => sum + bytesOf(child), selfSize);
}

const bytesIn = ({ samples }: DecodedProfile, thread: string) =>
  samples.filter((sample) => sample.thread === thread).reduce((sum, { value }) => sum + value, 0);
