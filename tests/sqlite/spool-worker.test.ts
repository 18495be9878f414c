import { afterAll, expect, test } from "bun:test";
import { ANYTHING, eventBatch, eventGroup, eventText } from "../support/log-events/event-batches.ts";
import { drain, openSpool } from "../support/sqlite/event-spools.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const workers: Worker[] = [];
const RealWorker = globalThis.Worker;

/** Allows the test to terminate the Worker of the spool. */
async function withKnownWorkers<T>(work: () => Promise<T>): Promise<T> {
  globalThis.Worker = class extends RealWorker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      workers.push(this);
    }
  };
  try {
    return await work();
  } finally {
    globalThis.Worker = RealWorker;
  }
}

const [a, b] = [eventGroup("a"), eventGroup("b")];

test("a Worker that dies loses nothing: claimed events wait again, and stored ones are kept", async () => {
  await withKnownWorkers(async () => {
    await using opened = await openSpool(newFolder());
    const { spool, events } = opened;
    const now = Date.now();
    await spool.put(eventBatch(a, ["1"], now));
    await spool.put(eventBatch(b, ["2"], now + 1));
    const taken = await spool.claim(ANYTHING);
    expect(taken).toMatchObject({ group: a });
    const inFlight = [spool.put(eventBatch(a, ["3"], now + 2)), spool.claim(ANYTHING)];
    workers.at(-1)?.terminate();
    await Promise.allSettled(inFlight);
    expect(await spool.put(eventBatch(b, ["4"], now + 3))).toBe("queued");
    if (taken === undefined) throw new Error("nothing was taken");
    await spool.nack(taken);
    const drained = await drain(spool);
    expect(drained.get(b.metadata)).toEqual(["2", "4"].map(eventText));
    // It is unknown whether it was committed before the Worker died.
    expect(["1", "1,3"].map((labels) => labels.split(",").map(eventText))).toContainEqual(
      drained.get(a.metadata) ?? [],
    );
    expect(spool.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
    // Each call that was waiting for the Worker is a failure.
    expect([...new Set(events.map(({ kind }) => kind))]).toEqual(["spool_failing", "spool_recovered"]);
  });
}, 30_000);

test("Workers that die repeatedly while events are put and claimed lose nothing", async () => {
  await withKnownWorkers(async () => {
    await using opened = await openSpool(newFolder());
    const { spool, events } = opened;
    const [queued, delivered] = [new Set<string>(), [] as string[]];
    const put = async (at: number) => {
      const batch = eventBatch(at % 2 === 0 ? a : b, [`${at}`], Date.now());
      if ((await spool.put(batch).catch(() => "rejected")) !== "queued") return;
      for (const event of batch.events) queued.add(event);
    };
    const forward = async () => {
      const taken = await spool.claim({ ...ANYTHING, maxEvents: 4 }).catch(() => undefined);
      if (taken === undefined) return;
      delivered.push(...taken.events);
      await spool.ack(taken).catch(() => spool.nack(taken));
    };
    for (let death = 0; death < 10; death++) {
      const work = () =>
        Promise.all(numbers(10).map((at) => (at % 3 === 0 ? forward() : put(death * 100 + at))));
      await work();
      await spool.claim({ ...ANYTHING, maxEvents: 1 });
      // While it is idle: a Worker that is terminated while it works can leave a lock in Bun that is never released.
      workers.at(-1)?.terminate();
      await work();
    }
    for (const ofGroup of (await drain(spool)).values()) delivered.push(...ofGroup);
    const times = new Set(delivered);
    expect([...queued].filter((event) => !times.has(event))).toEqual([]);
    expect(spool.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
    expect(events.every(({ kind }) => kind === "spool_failing" || kind === "spool_recovered")).toBe(true);
  });
}, 60_000);
