import { expect, test } from "bun:test";
import { CountCollection } from "../../src/control/count-collection.ts";
import type { ServingThread } from "../../src/control/serving-thread.ts";

const NOTHING = { kind: "counted", requests: [], rpcs: [], sdks: [] } as const;

/** Threads that reply while they are not in `hanging`. */
function startCollection() {
  const hanging = new Set<string>();
  const asked: string[] = [];
  const threads = ["http-1", "http-2"].map((name) => {
    const thread = {
      name,
      send: () => {
        asked.push(name);
        if (!hanging.has(name)) queueMicrotask(() => counts.add({ ...NOTHING, isReply: true }, thread));
      },
      flush: () => {},
    } as unknown as ServingThread;
    return thread;
  });
  const merge = () => {};
  const counts = new CountCollection({
    http: { merge, sdks: { merge } },
    rpc: { merge },
    threads: () => threads,
  });
  return { counts, asked, hanging, threads };
}

test("a thread that does not reply is waited for once, and is asked again after it has replied", async () => {
  const { counts, asked, hanging, threads } = startCollection();
  hanging.add("http-1");
  await counts.collect();
  await counts.collect();
  expect(asked).toEqual(["http-1", "http-2", "http-2"]);
  hanging.clear();
  counts.add({ ...NOTHING, isReply: true }, threads[0] as ServingThread);
  await counts.collect();
  expect(asked.slice(3)).toEqual(["http-1", "http-2"]);
});

test("a thread that was lost is waited for no more", async () => {
  const { counts, asked, hanging, threads } = startCollection();
  hanging.add("http-1");
  const collected = counts.collect();
  counts.forget(threads[0] as ServingThread);
  await collected;
  await counts.collect();
  expect(asked).toEqual(["http-1", "http-2", "http-1", "http-2"]);
});
