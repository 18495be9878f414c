import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { broadcast, type Member } from "../../src/platform/profiling/orders.ts";
import { isExamined } from "../../src/platform/profiling/threads.ts";
import { Profiler, ProfilerBusy, type TakenProfile } from "../../src/profiling/profiler.ts";
import { Replies } from "../../src/profiling/replies.ts";
import { failureOf } from "../support/common/failure.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { JoinedThread } from "../support/profiling/joined-thread.ts";

const PATIENT = { withinMs: 20_000, everyMs: 2 };

const never = new AbortController().signal;

/** How long the roll is called, and the samplers wake up. */
const ROLL_CALL_MS = 1_000;
const WAKING_MS = 520;

/** The time of the profiles here. */
const SECONDS = 2;

/** Keeps this thread busy, so that it has samples. */
function work(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end) JSON.parse(JSON.stringify({ a: [1, 2, 3] }));
}

const namesOf = ({ threads }: TakenProfile) => threads.map(({ thread }) => thread).toSorted();

/** Resolves when this many threads have followed all orders until now, beside the Worker that reads heap snapshots. */
async function followed(threads: number): Promise<void> {
  using answers = new Replies<Member>();
  broadcast({ kind: "roll_call", replyTo: answers.name });
  const followers = () => answers.received.filter(({ thread }) => thread === "main" || thread === "joined");
  await eventually(() => expect(followers()).toHaveLength(threads), PATIENT);
}

test("two relays in one process take turns, since their profilers give orders to the same threads", async () => {
  using one = new Profiler(systemClock);
  using other = new Profiler(systemClock);
  const first = one.takeCpu({ seconds: 1, signal: never, wait: false });
  expect(await failureOf(other.takeHeap({ signal: never, wait: false }))).toBeInstanceOf(ProfilerBusy);
  const second = other.takeCpu({ seconds: 1, signal: never, wait: true });
  const working = setInterval(() => work(20), 30);
  try {
    for (const { threads, missing } of await Promise.all([first, second])) {
      expect(missing).toEqual([]);
      expect(threads.map(({ thread }) => thread)).toEqual(["main"]);
      const samples = threads.flatMap(({ nodes }) => nodes).reduce((sum, { count }) => sum + count, 0);
      expect(samples).toBeGreaterThan(0);
    }
  } finally {
    clearInterval(working);
  }
});

test("the main thread may have a limit of its own for its heap", async () => {
  using profiler = new Profiler(systemClock);
  await using _thread = await JoinedThread.start();
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

/** A profiler whose waits end when a test says. */
function openProfiler(heapReplyMs?: number) {
  const clock = new FakeClock();
  const profiler = new Profiler(clock, heapReplyMs);
  /** Resolves when the profiler waits for this time. */
  const waits = (ms: number) => eventually(() => expect(clock.nextWakeInMs).toBe(ms), PATIENT);
  const pass = async (ms: number) => {
    await waits(ms);
    await clock.advance(ms);
  };
  const begin = () => {
    const taken = profiler.takeCpu({ seconds: SECONDS, signal: never, wait: false });
    const state = { isOver: false };
    const end = () => {
      state.isOver = true;
    };
    taken.then(end, end);
    return { taken, state };
  };
  return { profiler, clock, waits, pass, begin, [Symbol.dispose]: () => profiler[Symbol.dispose]() };
}

describe("a CPU profile", () => {
  test("does not take a thread that joins meanwhile for one that has not replied yet", async () => {
    using opened = openProfiler();
    await using slow = await JoinedThread.start();
    await slow.standStill("stop_cpu");
    const { taken, state } = opened.begin();
    await opened.waits(WAKING_MS);
    await using _other = await JoinedThread.start();
    await opened.pass(WAKING_MS);
    await followed(3);
    await opened.pass(SECONDS * 1_000);
    await slow.stands();
    await followed(2);
    expect(state.isOver).toBe(false);
    slow.release();
    const profile = await taken;
    expect(profile.missing).toEqual([]);
    expect(namesOf(profile)).toEqual(["joined", "joined (2)", "main"]);
  });

  test("has a thread that was busy when the roll was called, and waits for what it answered too late for that", async () => {
    using opened = openProfiler();
    await using busy = await JoinedThread.start();
    await busy.standStill("now");
    const { taken, state } = opened.begin();
    await followed(1);
    await opened.pass(ROLL_CALL_MS);
    await opened.waits(WAKING_MS);
    busy.release();
    await followed(2);
    await opened.pass(WAKING_MS);
    await busy.standStill("stop_cpu");
    await opened.pass(SECONDS * 1_000);
    await busy.stands();
    await followed(1);
    expect(state.isOver).toBe(false);
    busy.release();
    const profile = await taken;
    expect(profile.missing).toEqual([]);
    expect(namesOf(profile)).toEqual(["joined", "main"]);
  });

  test("names a thread that was busy all the time, and does not wait for it", async () => {
    using opened = openProfiler();
    await using busy = await JoinedThread.start();
    await busy.standStill("now");
    const { taken } = opened.begin();
    await followed(1);
    for (const ms of [ROLL_CALL_MS, WAKING_MS, SECONDS * 1_000]) await opened.pass(ms);
    const profile = await taken;
    expect(profile.missing).toEqual(["joined"]);
    expect(namesOf(profile)).toEqual(["main"]);
  });

  test("does not miss a thread that ends meanwhile, as a Worker does after its work", async () => {
    using opened = openProfiler();
    await using ended = await JoinedThread.start();
    const { taken } = opened.begin();
    await opened.waits(WAKING_MS);
    ended.end();
    await opened.pass(WAKING_MS);
    await opened.pass(SECONDS * 1_000);
    const profile = await taken;
    expect(profile.missing).toEqual([]);
    expect(namesOf(profile)).toEqual(["main"]);
  });

  test("names a thread that is lost meanwhile, whether it is replaced or not, and does not wait for it", async () => {
    for (const isReplaced of [false, true]) {
      using opened = openProfiler();
      await using lost = await JoinedThread.start();
      const { taken } = opened.begin();
      await opened.pass(WAKING_MS);
      lost.lose();
      await using _replacement = isReplaced ? await JoinedThread.start() : undefined;
      await opened.pass(SECONDS * 1_000);
      expect((await taken).missing).toEqual(["joined"]);
    }
  });

  test("that is cancelled says nothing about how long the next one takes", async () => {
    using opened = openProfiler();
    await using slow = await JoinedThread.start();
    const client = new AbortController();
    const options = { signal: client.signal, wait: false };
    const cancelled = failureOf(opened.profiler.takeCpu({ seconds: 60, ...options }));
    const retryAfterMs = async () => {
      const refused = await failureOf(opened.profiler.takeHeap({ signal: never, wait: false }));
      return (refused as ProfilerBusy).retryAfterMs;
    };
    await opened.waits(WAKING_MS);
    expect(await retryAfterMs()).toBe(WAKING_MS + 60_000);
    client.abort(new Error("gone"));
    expect(await cancelled).toEqual(new Error("gone"));
    await slow.standStill("snapshot_heap");
    const heap = opened.profiler.takeHeap({ signal: never, wait: true });
    await slow.stands();
    expect(await retryAfterMs()).toBe(0);
    slow.release();
    expect((await heap).kind).toBe("heap");
  });
});

describe("a heap profile", () => {
  test("marks a thread while that stands still for it, and no longer", async () => {
    using profiler = new Profiler(systemClock);
    await using slow = await JoinedThread.start();
    await slow.standStill("snapshot_heap");
    const taken = profiler.takeHeap({ signal: never, wait: false });
    await slow.stands();
    await eventually(() => expect(isExamined("joined")).toBe(true), PATIENT);
    slow.release();
    expect((await taken).missing).toEqual([]);
    expect(isExamined("joined")).toBe(false);
  });

  test("that is cancelled ends at once, and its turn when the thread runs again", async () => {
    using profiler = new Profiler(systemClock);
    await using slow = await JoinedThread.start();
    await slow.standStill("snapshot_heap");
    const client = new AbortController();
    const taken = failureOf(profiler.takeHeap({ signal: client.signal, wait: false }));
    await slow.stands();
    await eventually(() => expect(isExamined("joined")).toBe(true), PATIENT);
    client.abort(new Error("gone"));
    expect(await taken).toEqual(new Error("gone"));
    expect(isExamined("joined")).toBe(true);
    expect(await failureOf(profiler.takeHeap({ signal: never, wait: false }))).toBeInstanceOf(ProfilerBusy);
    const next = profiler.takeHeap({ signal: never, wait: true });
    slow.release();
    expect((await next).missing).toEqual([]);
    expect(isExamined("joined")).toBe(false);
  });

  test("examines a thread that answers the roll call late", async () => {
    using opened = openProfiler();
    await using busy = await JoinedThread.start();
    await using other = await JoinedThread.start();
    await busy.standStill("now");
    await other.standStill("snapshot_heap");
    const taken = opened.profiler.takeHeap({ signal: never, wait: false });
    await followed(2);
    await opened.pass(ROLL_CALL_MS);
    await other.stands();
    busy.release();
    await followed(2);
    other.release();
    const profile = await taken;
    expect(profile.missing).toEqual([]);
    expect(namesOf(profile)).toEqual(["joined", "joined (2)", "main"]);
  });

  describe("ends without a thread that is late", () => {
    /** As long as a heap profile waits for each thread here. The heap of the main thread may take longer. */
    const HEAP_REPLY_MS = 200;

    async function leaveLate() {
      await using starting = new AsyncDisposableStack();
      const opened = starting.use(openProfiler(HEAP_REPLY_MS));
      const late = starting.use(await JoinedThread.start());
      await late.standStill("snapshot_heap");
      const { missing } = await opened.profiler.takeHeap({ signal: never, wait: false });
      expect(missing).toContain("joined");
      expect(isExamined("joined")).toBe(true);
      const owned = starting.move();
      return { opened, late, [Symbol.asyncDispose]: () => owned.disposeAsync() };
    }

    const isMarked = (marked: boolean) =>
      eventually(() => expect(isExamined("joined")).toBe(marked), PATIENT);

    test("which stays marked until it has left its snapshot", async () => {
      await using left = await leaveLate();
      left.late.release();
      await isMarked(false);
    });

    test("which is not marked any more once it was replaced", async () => {
      await using left = await leaveLate();
      left.late.lose();
      expect(isExamined("joined")).toBe(false);
    });

    test("which stays marked for two minutes at most", async () => {
      await using left = await leaveLate();
      const { clock } = left.opened;
      await clock.advance(119_000);
      expect(isExamined("joined")).toBe(true);
      await clock.advance(1_000);
      await isMarked(false);
    });

    test("which stays marked no longer than the relay runs", async () => {
      await using left = await leaveLate();
      left.opened.profiler[Symbol.dispose]();
      await isMarked(false);
    });
  });
});
