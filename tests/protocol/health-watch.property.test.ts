import { expect, test } from "bun:test";
import fc from "fast-check";
import { HealthWatch, MAX_HEALTH_WATCHES } from "../../src/grpc/health-watch.ts";
import { allocateCount, SharedCount } from "../../src/platform/shared-count.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";

const SECOND_MS = 1_000;

/** A client that reads all that it gets, or nothing after its first state. */
class Watcher {
  readonly states: boolean[] = [];
  readonly cancel = new AbortController();
  ended: unknown;
  readonly #states: AsyncGenerator<boolean, never, undefined>;

  constructor(health: HealthWatch, reads: boolean) {
    this.#states = health.watch(this.cancel.signal);
    void this.#read(reads);
  }

  async #read(reads: boolean): Promise<void> {
    try {
      do this.states.push((await this.#states.next()).value);
      while (reads);
    } catch (error) {
      this.ended = error;
    }
  }
}

function setUp() {
  const clock = new FakeClock();
  const open = new SharedCount();
  const relay = { isServing: true as boolean | Error, checks: 0 };
  const check = async () => {
    relay.checks++;
    if (relay.isServing instanceof Error) throw relay.isServing;
    return relay.isServing;
  };
  return { clock, open, relay, health: new HealthWatch({ check, open, clock, emit: () => {} }) };
}

const step = fc.oneof(
  fc.record({ kind: fc.constant("watch" as const), reads: fc.boolean() }),
  fc.record({ kind: fc.constant("cancel" as const), at: fc.nat(20) }),
  fc.record({
    kind: fc.constant("become" as const),
    isServing: fc.constantFrom<boolean | Error>(true, false, new Error("no reply")),
  }),
  fc.record({ kind: fc.constant("wait" as const) }),
);

test("for every order of steps: watches see the state, one check a second serves all of them, and none remains counted", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.boolean(), async (steps, stops) => {
      const { clock, open, relay, health } = setUp();
      const all: Watcher[] = [];
      const watching = new Set<Watcher>();
      for (const each of steps) {
        if (each.kind === "watch") {
          const watcher = new Watcher(health, each.reads);
          all.push(watcher);
          watching.add(watcher);
        } else if (each.kind === "cancel") {
          const watcher = all[each.at];
          watcher?.cancel.abort(new Error("cancelled"));
          if (watcher) watching.delete(watcher);
        } else if (each.kind === "become") relay.isServing = each.isServing;
        await settle();
        const before = relay.checks;
        if (each.kind !== "wait") continue;
        await clock.advance(SECOND_MS);
        await settle();
        expect(relay.checks - before).toBe(watching.size > 0 ? 1 : 0);
        expect(open.value).toBe(watching.size);
        for (const { states, ended } of watching) {
          expect(ended).toBeUndefined();
          if (states.length > 1) expect(states.at(-1)).toBe(relay.isServing === true);
        }
      }
      for (const { states } of all)
        for (const [at, state] of states.entries()) expect(state).not.toBe(states[at - 1] as boolean);
      if (stops) health.stopping();
      await settle();
      for (const { cancel } of all) cancel.abort(new Error("the end"));
      await settle();
      expect(open.value).toBe(0);
      expect(clock.sleeping).toBe(0);
      expect(await health.isServing().catch(() => false)).toBe(!stops && relay.isServing === true);
    }),
    { numRuns: 300 },
  );
});

test("a watch that reads is told NOT_SERVING before it ends, also if it has ended by the time it reads", async () => {
  const { health, open } = setUp();
  const watcher = new Watcher(health, true);
  await settle();
  expect(watcher.states).toEqual([true]);
  health.stopping();
  watcher.cancel.abort(new Error("shutting down"));
  await settle();
  expect([watcher.states, watcher.ended]).toEqual([[true, false], new Error("shutting down")]);
  expect(open.value).toBe(0);
});

test("a client that is gone before its watch begins is not counted, even if nothing reads its state", async () => {
  const { health, open } = setUp();
  const watcher = new Watcher(health, true);
  await settle();
  const gone = health.watch(AbortSignal.abort(new Error("gone")));
  expect(await gone.next()).toEqual({ done: false, value: true });
  expect(open.value).toBe(1);
  watcher.cancel.abort(new Error("the end"));
  await settle();
  expect(open.value).toBe(0);
});

test("watches of all threads together are limited", async () => {
  const memory = allocateCount(2);
  const [ours, theirs] = [0, 1].map((slot) => new SharedCount(memory, slot));
  expect(theirs?.tryAdd(MAX_HEALTH_WATCHES - 1, MAX_HEALTH_WATCHES)).toBe(true);
  const limits: string[] = [];
  const health = new HealthWatch({
    check: async () => true,
    ...{ open: ours ?? new SharedCount(), clock: new FakeClock() },
    emit: (event) => limits.push(event.kind === "limit_reached" ? event.limit : event.kind),
  });
  const [first, second] = [new Watcher(health, true), new Watcher(health, true)];
  await settle();
  expect([first.states, second.ended]).toEqual([
    [true],
    expect.objectContaining({ code: "resource_exhausted" }),
  ]);
  expect(limits).toEqual(["health-watches"]);
  first.cancel.abort();
  await settle();
  expect(theirs?.value).toBe(MAX_HEALTH_WATCHES - 1);
});
