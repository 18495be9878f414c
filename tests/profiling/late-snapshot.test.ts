import { expect, test } from "bun:test";
import type { ThreadEnd } from "../../src/control/serving-thread.ts";
import { ServingThreads } from "../../src/control/serving-threads.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { Profiler } from "../../src/profiling/profiler.ts";
import type { ServingEvent } from "../../src/server/thread-events.ts";
import type { FromServing, ServingSetup, ToServing } from "../../src/serving/messages.ts";
import { eventually } from "../support/common/wait.ts";
import { JoinedThread } from "../support/profiling/joined-thread.ts";

/** As long as the profile waits for each thread here; a thread is taken for one that hangs after 5 s. */
const HEAP_REPLY_MS = 500;
const HUNG_MS = 5_000;

const PATIENT = { withinMs: 30_000, everyMs: 50 };

const SLOT = 1;

/** A thread that opens its ports when it is ordered to, and whose event loop is that of a real one. */
function asServing({ worker }: JoinedThread): ThreadEnd {
  const listeners: ((event: never) => void)[] = [];
  const reply = (message: FromServing) => {
    for (const listener of listeners) listener(new MessageEvent("message", { data: [message] }) as never);
  };
  return {
    postMessage: (messages: unknown) => {
      for (const { kind } of messages as readonly ToServing[])
        if (kind === "listen") reply({ kind: "listening" });
    },
    addEventListener: (type: string, listener: (event: never) => void) => {
      if (type === "message") listeners.push(listener);
      else worker.addEventListener(type, listener as EventListener);
    },
    terminate: () => worker.terminate(),
  };
}

test("a serving thread that takes longer for its heap than the profile waits is not replaced, but if it hangs later", async () => {
  using profiler = new Profiler(systemClock, HEAP_REPLY_MS);
  await using thread = await JoinedThread.start();
  const beats = new Int32Array(new SharedArrayBuffer(8));
  thread.beat(beats, SLOT);
  const events: ServingEvent[] = [];
  let starts = 0;
  using threads = new ServingThreads({
    setups: [
      () => ({ name: "joined", slot: SLOT, ports: [{ protocol: "http" }] }) as unknown as ServingSetup,
    ],
    start: () => {
      if (starts++ > 0) throw new Error("no replacement here");
      return asServing(thread);
    },
    prepare: () => {},
    onReport: () => {},
    onLost: () => {},
    beats,
    emit: (event) => events.push(event),
  });
  await threads.start();
  const names = () => events.map(({ kind }) => kind);

  await thread.standStill("snapshot_heap");
  const { missing } = await profiler.takeHeap({ signal: new AbortController().signal, wait: false });
  expect(missing).toContain("joined");
  await Bun.sleep(HUNG_MS + 2_000);
  expect(names()).toEqual(["thread_started"]);
  // The profile is over for the thread once it has left its snapshot: from then on it may not stand still.
  const before = Atomics.load(beats, SLOT);
  thread.release();
  await eventually(() => expect(Atomics.load(beats, SLOT)).toBeGreaterThan(before), PATIENT);
  await thread.standStill("now");
  await eventually(() => expect(names()).toContain("thread_lost"), PATIENT);
}, 60_000);
