import { describe, expect, test } from "bun:test";
import type { ThreadEnd } from "../../src/control/serving-thread.ts";
import { ServingThreads } from "../../src/control/serving-threads.ts";
import { threadExamined } from "../../src/platform/profiling/threads.ts";
import type { ServingEvent } from "../../src/server/thread-events.ts";
import type { FromServing, ServingSetup, ToServing } from "../../src/serving/messages.ts";
import { eventually } from "../support/common/wait.ts";

type Reply = (message: ToServing) => FromServing | undefined;

/** A thread that replies as a test says, and ends when the test says. */
class FakeThread implements ThreadEnd {
  readonly received: ToServing[] = [];
  readonly #reply: Reply;
  readonly #listeners = new Map<string, ((event: never) => void)[]>();

  constructor(reply: Reply) {
    this.#reply = reply;
  }

  postMessage(messages: unknown): void {
    for (const message of messages as readonly ToServing[]) {
      this.received.push(message);
      const reply = this.#reply(message);
      if (reply !== undefined) this.#emit("message", { data: [reply] });
    }
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  terminate(): void {
    this.close();
  }

  /** The thread has ended. */
  close(): void {
    this.#emit("close", {});
  }

  #emit(type: string, event: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event as never);
  }
}

const serves: Reply = ({ kind }) =>
  kind === "listen" ? { kind: "listening" } : kind === "drain" ? { kind: "drained" } : undefined;

/** Threads of one place. `replies` are those of the first thread and of each replacement; undefined cannot be started. */
function openThreads(replies: readonly (Reply | undefined)[]) {
  const started: FakeThread[] = [];
  const events: ServingEvent[] = [];
  const lost: string[] = [];
  let starts = 0;
  const threads = new ServingThreads({
    setups: [() => ({ name: "http-1", slot: 1, ports: [{ protocol: "http" }] }) as unknown as ServingSetup],
    start: () => {
      const reply = replies[starts++];
      if (reply === undefined) throw new Error("no more threads");
      const thread = new FakeThread(reply);
      started.push(thread);
      return thread;
    },
    prepare: () => {},
    onReport: () => {},
    onLost: (thread) => lost.push(thread.name),
    beats: new Int32Array(2),
    emit: (event) => events.push(event),
  });
  const names = () => events.map(({ kind }) => kind);
  return { threads, started, events, lost, names, [Symbol.dispose]: () => threads[Symbol.dispose]() };
}

/** Replacements wait for a second after an early end. */
const SOON = { withinMs: 15_000, everyMs: 20 };

describe("the first start fails", () => {
  test("if a thread cannot be set up, with the reason", async () => {
    const error = { detail: "TypeError: no", at: "serving/serving.ts:1:1" };
    using opened = openThreads([
      ({ kind }) => (kind === "set_up" ? { kind: "set_up_failed", error } : undefined),
    ]);
    await expect(opened.threads.start()).rejects.toThrow("TypeError: no, at serving/serving.ts:1:1");
  });
});

describe("a lost thread", () => {
  test("is released once it has ended, and only then replaced", async () => {
    using opened = openThreads([serves, serves]);
    const { threads, started, lost, names } = opened;
    await threads.start();
    started[0]?.close();
    await eventually(
      () => expect(names()).toEqual(["thread_started", "thread_lost", "thread_started"]),
      SOON,
    );
    expect([lost, threads.isServed("http")]).toEqual([["http-1"], true]);
  });

  test("is replaced although a replacement cannot be started at first", async () => {
    using opened = openThreads([serves, undefined, serves]);
    const { threads, started, names } = opened;
    await threads.start();
    started[0]?.close();
    await eventually(
      () =>
        expect(names()).toEqual([
          ...["thread_started", "thread_lost", "thread_failed_to_start"],
          "thread_started",
        ] as never),
      SOON,
    );
    expect(threads.isServed("http")).toBe(true);
  }, 30_000);

  test("that is not replaced yet receives nothing", async () => {
    using opened = openThreads([serves, undefined]);
    const { threads, started, names } = opened;
    await threads.start();
    started[0]?.close();
    await eventually(() => expect(names()).toContain("thread_failed_to_start"), SOON);
    expect([...threads.running()]).toEqual([]);
  });
});

test("a thread that stands still while a profile examines its heap is not replaced, but afterwards", async () => {
  using opened = openThreads([serves, serves]);
  const { threads, names } = opened;
  const examined = threadExamined("http-1");
  await threads.start();
  await Bun.sleep(6_500);
  expect(names()).toEqual(["thread_started"]);
  examined[Symbol.dispose]();
  await eventually(() => expect(names()).toContain("thread_lost"), SOON);
}, 30_000);
