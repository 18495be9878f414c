import { expect, test } from "bun:test";
import { CallTimedOut, WorkerCalls, type WorkerCallsOptions } from "../../src/platform/worker-calls.ts";
import type { Command } from "../support/common/scripted-worker.ts";
import { eventually } from "../support/common/wait.ts";

function scripted(limits: Pick<WorkerCallsOptions, "limitMs" | "silenceLimitMs"> = {}) {
  let started = 0;
  const lost: string[] = [];
  const calls = new WorkerCalls<Command, Uint8Array<ArrayBuffer>>({
    name: "the scripted worker",
    onLost: (error) => lost.push(error.message),
    start: () => {
      started++;
      return new Worker(new URL("../support/common/scripted-worker.ts", import.meta.url));
    },
    ...limits,
  });
  return {
    calls,
    started: () => started,
    lost,
    [Symbol.asyncDispose]: () => calls[Symbol.asyncDispose](),
  };
}

const echo = (...bytes: number[]): Command => ({ kind: "echo", bytes: new Uint8Array(bytes) });

test("sends concurrent calls to one Worker and returns each its own reply", async () => {
  await using worker = scripted();
  const replies = await Promise.all([1, 2, 3].map((number) => worker.calls.call(echo(number))));
  expect(replies.map((bytes) => [...bytes])).toEqual([[1], [2], [3]]);
  expect(worker.started()).toBe(1);
});

test("moves transferred buffers instead of copying them", async () => {
  await using worker = scripted();
  const bytes = new Uint8Array([1, 2, 3]);
  const reply = await worker.calls.call({ kind: "echo", bytes }, [bytes.buffer]);
  expect([...reply]).toEqual([1, 2, 3]);
  expect(bytes.length).toBe(0);
});

test("rejects only the call that throws", async () => {
  await using worker = scripted();
  const [thrown, echoed] = await Promise.allSettled([
    worker.calls.call({ kind: "throw" }),
    worker.calls.call(echo(1)),
  ]);
  expect(thrown).toMatchObject({ status: "rejected", reason: { message: "Error: on purpose" } });
  expect(echoed.status).toBe("fulfilled");
});

test("rejects the waiting calls of a Worker that ends, and starts a new one for the next call", async () => {
  await using worker = scripted();
  const waiting = [worker.calls.call({ kind: "end" }), worker.calls.call(echo(1))];
  for (const outcome of await Promise.allSettled(waiting)) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { message: "the scripted worker ended" } });
  }
  expect([...(await worker.calls.call(echo(2)))]).toEqual([2]);
  expect(worker.started()).toBe(2);
  expect(worker.lost).toEqual(["the scripted worker ended"]);
});

test.each([
  ["an exception", "throw-later"],
  ["a rejection", "reject-later"],
] as const)(
  "reports a Worker that %s ends between two calls in one line, and replaces it",
  async (_, kind) => {
    await using worker = scripted();
    await worker.calls.call({ kind });
    await eventually(() => expect(worker.lost).toEqual(["the scripted worker failed: error: later"]));
    expect([...(await worker.calls.call(echo(2)))]).toEqual([2]);
  },
);

test("does not report a Worker that is shut down", async () => {
  const worker = scripted();
  await worker.calls.call(echo(1));
  await worker[Symbol.asyncDispose]();
  await Bun.sleep(100);
  expect(worker.lost).toEqual([]);
});

/** The start of the Worker, which may take long on a busy machine, has a limit of its own. */
const START_LIMIT_MS = 20_000;

test("rejects calls at once while the Worker hangs, and accepts them when it replies again", async () => {
  await using worker = scripted({ limitMs: 300 });
  await worker.calls.call(echo(1), [], START_LIMIT_MS);
  const hanging = worker.calls.call({ kind: "hang", ms: 1_000 });
  await expect(hanging).rejects.toEqual(
    new CallTimedOut("the scripted worker did not respond within 300 ms"),
  );
  await expect(worker.calls.call(echo(2))).rejects.toThrow("the scripted worker does not respond");
  await eventually(async () => expect([...(await worker.calls.call(echo(3)))]).toEqual([3]));
  expect(worker.started()).toBe(1);
});

test("replaces a Worker that sends no reply for too long, but not a slow one", async () => {
  await using worker = scripted({ silenceLimitMs: 1_500 });
  // Until one has started within the limit.
  await eventually(() => worker.calls.call(echo(1)), { withinMs: START_LIMIT_MS });
  const [started, lost] = [worker.started(), worker.lost.length];
  const slow = Array.from({ length: 12 }, () => worker.calls.call({ kind: "hang", ms: 150 }));
  await Promise.all(slow);
  expect(worker.started()).toBe(started);
  const stuck = [worker.calls.call({ kind: "hang", ms: 4_000 }), worker.calls.call(echo(1))];
  for (const outcome of await Promise.allSettled(stuck)) {
    const message = "the scripted worker sent no reply for 1500 ms";
    expect(outcome).toMatchObject({ status: "rejected", reason: { message } });
  }
  expect(worker.lost.slice(lost)).toEqual(["the scripted worker sent no reply for 1500 ms"]);
  expect(worker.started()).toBe(started);
  await eventually(async () => expect([...(await worker.calls.call(echo(2)))]).toEqual([2]));
  expect(worker.started()).toBeGreaterThan(started);
});

test("rejects waiting and later calls on shutdown", async () => {
  await using worker = scripted();
  await worker.calls.call(echo(1));
  const waiting = worker.calls.call({ kind: "hang", ms: 200 });
  const [outcome] = await Promise.all([Promise.allSettled([waiting]), worker.calls[Symbol.asyncDispose]()]);
  expect(outcome).toMatchObject([{ status: "rejected", reason: { message: "the relay is shutting down" } }]);
  await expect(worker.calls.call(echo(2))).rejects.toThrow("shutting down");
  expect(worker.started()).toBe(1);
});
