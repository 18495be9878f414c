import { expect, test } from "bun:test";
import { once } from "node:events";
import { systemClock } from "../../src/platform/clock.ts";
import { isExamined, threadEnded, threadStarted } from "../../src/platform/profiling/threads.ts";
import { Profiler, ProfilerBusy } from "../../src/profiling/profiler.ts";
import { eventually, within } from "../support/common/wait.ts";

const SOON = { withinMs: 10_000, everyMs: 1 };

const never = new AbortController().signal;

/** Keeps this thread busy, so that it has samples. */
function work(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end) JSON.parse(JSON.stringify({ a: [1, 2, 3] }));
}

test("two relays in one process take turns, since their profilers give orders to the same threads", async () => {
  using one = new Profiler(systemClock);
  using other = new Profiler(systemClock);
  const first = one.takeCpu({ seconds: 1, signal: never, wait: false });
  await expect(other.takeHeap({ signal: never, wait: false })).rejects.toBeInstanceOf(ProfilerBusy);
  const second = other.takeCpu({ seconds: 1, signal: never, wait: true });
  const working = setInterval(() => work(20), 30);
  try {
    for (const { threads, missing } of await Promise.all([first, second])) {
      expect(missing).toEqual([]);
      expect(threads.map(({ thread }) => thread)).toEqual(["main"]);
      const samples = threads.flatMap(({ nodes }) => nodes).reduce((sum, { count }) => sum + count, 0);
      expect(samples).toBeGreaterThan(20);
    }
  } finally {
    clearInterval(working);
  }
});

test("the main thread may have a limit of its own for its heap", async () => {
  using profiler = new Profiler(systemClock);
  using stack = new DisposableStack();
  await startThread(stack);
  const findLeftOut = async (maxObjectsOfMain: number) => {
    const limits = { maxObjectsPerThread: 1, maxObjectsOfMain };
    const { threads } = await profiler.takeHeap({ signal: never, wait: false, ...limits });
    const isLeftOut = (names: readonly string[]) => names.includes("(not examined: too many objects)");
    const leftOut = threads.filter(({ nodes }) => isLeftOut(nodes.map(({ frame }) => frame.name)));
    return leftOut.map(({ thread }) => thread).toSorted();
  };
  expect(await findLeftOut(1)).toEqual(["joined", "main"]);
  expect(await findLeftOut(10_000_000)).toEqual(["joined"]);
});

/** Starts a thread as the relay does. */
async function startThread(stack: DisposableStack): Promise<Worker> {
  const worker = new Worker(new URL("../support/profiling/joined-worker.ts", import.meta.url));
  stack.defer(() => {
    threadEnded(worker);
    worker.terminate();
  });
  threadStarted(worker, "joined");
  await within(once(worker, "message"), 10_000, "the thread to join");
  return worker;
}

test("a thread that joins during a profile does not stand for one that has not replied yet", async () => {
  using profiler = new Profiler(systemClock);
  using stack = new DisposableStack();
  const slow = await startThread(stack);
  const taken = profiler.takeCpu({ seconds: 1, signal: never, wait: false });
  // The roll is called in a moment, and the samplers wake up for half a second.
  await Bun.sleep(250);
  await startThread(stack);
  await Bun.sleep(900);
  slow.postMessage(1_500);
  const { threads, missing } = await taken;
  expect(missing).toEqual([]);
  expect(threads.map(({ thread }) => thread).toSorted()).toEqual(["joined", "joined (2)", "main"]);
});

test("a thread is known to be examined while it stands still for its heap profile, and no longer", async () => {
  using profiler = new Profiler(systemClock);
  using stack = new DisposableStack();
  const slow = await startThread(stack);
  const taken = profiler.takeHeap({ signal: never, wait: false });
  await eventually(() => expect(isExamined("joined")).toBe(true), SOON);
  slow.postMessage(100);
  expect((await taken).missing).toEqual([]);
  expect(isExamined("joined")).toBe(false);
});

test("a heap profile that is cancelled ends at once, and its turn when the thread runs again", async () => {
  using profiler = new Profiler(systemClock);
  using stack = new DisposableStack();
  const slow = await startThread(stack);
  const client = new AbortController();
  const taken = profiler.takeHeap({ signal: client.signal, wait: false });
  await eventually(() => expect(isExamined("main") || isExamined("joined")).toBe(true), SOON);
  slow.postMessage(1_500);
  await eventually(() => expect(isExamined("joined")).toBe(true), SOON);
  client.abort(new Error("gone"));
  await expect(taken).rejects.toThrow("gone");
  expect(isExamined("joined")).toBe(true);
  await expect(profiler.takeHeap({ signal: never, wait: false })).rejects.toBeInstanceOf(ProfilerBusy);
  const { missing } = await profiler.takeHeap({ signal: never, wait: true });
  expect(missing).toEqual([]);
  expect(isExamined("joined")).toBe(false);
});
