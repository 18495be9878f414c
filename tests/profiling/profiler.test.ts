import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { encodePprof } from "../../src/profiling/pprof.ts";
import { Profiler, ProfilerBusy } from "../../src/profiling/profiler.ts";
import { failureOf } from "../support/common/failure.ts";
import { decodePprof } from "../support/profiling/decoded-profile.ts";

const { signal } = new AbortController();

let profiler: Profiler;
beforeEach(() => {
  profiler = new Profiler(systemClock);
});
afterEach(() => profiler[Symbol.dispose]());

const RECORDS = 20_000;

class HeldRecord {
  readonly numbers = new Float64Array(4);
}

class RecordHolder {
  readonly heldRecords = Array.from({ length: RECORDS }, () => new HeldRecord());
}

class Keeper {
  readonly holder = new RecordHolder();
}

function keepHolder(): void {
  Object.assign(globalThis, { kept: new Keeper() });
}

describe("a heap profile", () => {
  test("counts objects for the property and the class that hold them", async () => {
    keepHolder();
    // The stack, which the collector searches for references, has others by then.
    await Bun.sleep(50);
    const taken = await profiler.takeHeap({ signal, wait: true });
    Reflect.deleteProperty(globalThis, "kept");
    const { samples } = decodePprof(await encodePprof(taken));
    const path = [
      "HeldRecord",
      "heldRecords: Array",
      "holder: RecordHolder",
      "Keeper",
      "GlobalObject",
      "(roots)",
    ];
    const held = samples.find(({ stack }) => stack.map(({ name }) => name).join() === path.join());
    // What is below a thousandth of the heap counts for what holds it.
    expect(held?.count).toBeWithin(RECORDS, RECORDS + 100);
    // A record is a header and a reference, rounded up; its numbers are 32 bytes and what describes them.
    expect((held?.value ?? 0) / RECORDS).toBeWithin(16, 65);
    const numbers = samples.find(
      ({ stack }) => stack[0]?.name === "numbers: Float64Array" && stack[1]?.name === "HeldRecord",
    );
    expect(numbers?.count).toBeWithin(RECORDS, RECORDS + 100);
    expect((numbers?.value ?? 0) / RECORDS).toBeWithin(33, 161);
  });

  test("does not examine a thread with more objects than it may", async () => {
    const { threads } = await profiler.takeHeap({ signal, wait: true, maxObjectsPerThread: 1_000 });
    const main = threads.find(({ thread }) => thread === "main");
    expect(main?.nodes.map(({ frame }) => frame.name)).toEqual(["(not examined: too many objects)"]);
    expect(main?.nodes[0]?.count).toBeGreaterThan(1_000);
    expect(main?.nodes[0]?.value).toBeGreaterThan(100_000);
  });
});

describe("profiles are taken one at a time", () => {
  test("a second one waits for its turn, or is refused", async () => {
    const first = profiler.takeCpu({ seconds: 1, signal, wait: false });
    const second = profiler.takeCpu({ seconds: 1, signal, wait: true });
    const refused = await failureOf(profiler.takeCpu({ seconds: 1, signal, wait: false }));
    expect(refused).toBeInstanceOf(ProfilerBusy);
    const times = (await Promise.all([first, second])).map(({ startedAt }) => startedAt);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(990);
  });

  test("one that waits gives up at its signal; the one before it is not concerned", async () => {
    const first = profiler.takeCpu({ seconds: 1, signal, wait: false });
    const impatient = new AbortController();
    const second = profiler.takeCpu({ seconds: 1, signal: impatient.signal, wait: true });
    impatient.abort(new Error("no time"));
    expect(await failureOf(second)).toEqual(new Error("no time"));
    expect((await first).durationMs).toBeGreaterThan(990);
    expect((await profiler.takeCpu({ seconds: 1, signal, wait: false })).kind).toBe("cpu");
  });

  test("the end of the relay ends all of them", async () => {
    const taken = [true, true].map((wait) => failureOf(profiler.takeCpu({ seconds: 60, signal, wait })));
    profiler[Symbol.dispose]();
    const reasons = (await Promise.all(taken)).map(String);
    expect(reasons).toEqual(["Error: the relay is shutting down", "Error: the relay is shutting down"]);
  });
});
