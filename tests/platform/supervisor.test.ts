import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Clock, systemClock } from "../../src/platform/clock.ts";
import { describeError } from "../../src/platform/errors.ts";
import { type SupervisionEvent, Supervisor } from "../../src/platform/supervisor.ts";
import { FakeClock } from "../support/common/fake-clock.ts";

function watched(clock: Clock = new FakeClock()) {
  const events: SupervisionEvent[] = [];
  return { events, supervisor: new Supervisor({ clock, emit: (event) => events.push(event) }) };
}

const kinds = (events: readonly SupervisionEvent[]) => events.map(({ kind }) => kind);

describe("a loop", () => {
  test("that throws continues after 1 s, 2 s, … 60 s, and after 1 s again once it has worked", async () => {
    const clock = new FakeClock();
    const { supervisor, events } = watched(clock);
    const stop = new AbortController();
    let rounds = 0;
    const loop = supervisor.loop("spec_polls", stop.signal, async () => {
      rounds++;
      if (rounds === 9) return;
      throw new Error("on purpose");
    });
    for (let at = 1; at <= 10; at++) {
      while (rounds < at) await clock.advance(1_000);
    }
    const delays = events.flatMap((event) => (event.kind === "loop_failed" ? [event.retryInMs] : []));
    expect(delays.slice(0, 9)).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 1].map((s) => s * 1_000));
    expect(kinds(events).slice(7, 10)).toEqual(["loop_failed", "loop_recovered", "loop_failed"]);
    stop.abort();
    await loop;
    expect(events.at(-1)).toEqual({ kind: "loop_recovered", loop: "spec_polls", instance: 1, failing: 0 });
  });

  test("ends at once on abort, and an error after that is not reported", async () => {
    const { supervisor, events } = watched();
    const stop = new AbortController();
    const loop = supervisor.loop("file_watch", stop.signal, async () => {
      await systemClock.sleep(60_000, stop.signal);
    });
    stop.abort(new Error("shutdown"));
    await loop;
    expect(events).toEqual([]);
  });

  test("counts as recovered while its round still runs", async () => {
    const clock = new FakeClock();
    const { supervisor, events } = watched(clock);
    const stop = new AbortController();
    let rounds = 0;
    const loop = supervisor.loop("certificate_expiry", stop.signal, async (worked) => {
      if (++rounds === 1) throw new Error("on purpose");
      worked();
      await clock.sleep(86_400_000, stop.signal);
    });
    await clock.advance(1_000);
    expect(kinds(events)).toEqual(["loop_failed", "loop_recovered"]);
    stop.abort();
    await loop;
  });

  test("counts the failing loops of the same name", async () => {
    const { supervisor, events } = watched();
    const stops = [new AbortController(), new AbortController()];
    const loops = stops.map(({ signal }) =>
      supervisor.loop("spec_polls", signal, () => Promise.reject(new Error("on purpose"))),
    );
    await Bun.sleep(0);
    for (const stop of stops) stop.abort();
    await Promise.all(loops);
    expect(events.map((event) => ("failing" in event ? event.failing : -1))).toEqual([1, 2, 1, 0]);
  });

  test("survives a clock and an emitter that throw, and still pauses", async () => {
    const clock: Clock = {
      ...systemClock,
      sleep: () => {
        throw new Error("no time");
      },
    };
    const supervisor = new Supervisor({
      clock,
      emit: () => {
        throw new Error("emit failed");
      },
    });
    const stop = new AbortController();
    let rounds = 0;
    const loop = supervisor.loop("spec_polls", stop.signal, async () => {
      rounds++;
      throw new Error("on purpose");
    });
    await Bun.sleep(100);
    expect(rounds).toBe(1);
    stop.abort();
    await loop;
  });
});

test("a task that throws or rejects is reported and does not reject its caller", async () => {
  const { supervisor, events } = watched();
  await supervisor.task("metric_sink", () => {
    throw new Error("at once");
  });
  await supervisor.task("metric_sink", () => Promise.reject(new Error("later")));
  await supervisor.task("metric_sink", () => {});
  expect(events.map((event) => (event.kind === "task_failed" ? event.detail : event.kind))).toEqual([
    "Error: at once",
    "Error: later",
  ]);
});

describe("describeError", () => {
  const KEY = "secret-Abcdefghij0123456789";

  test.each([
    [new TypeError("undefined is not an object"), "TypeError: undefined is not an object"],
    [Object.assign(new Error("read"), { code: "ECONNRESET" }), "Error: read (ECONNRESET)"],
    [new Error("two\n  lines"), "Error: two lines"],
    [
      new Error(`GET https://u:p@cdn.example:8/v1/${KEY}.json?k=${KEY} failed`),
      "Error: GET https://cdn.example:8/… failed",
    ],
    [new Error(`the path /v2/download_config_specs/${KEY}.json`), "Error: the path /…"],
    [new Error(`key ${KEY}, client-short`), "Error: key secret-…, client-…"],
    [new Error("a key without a prefix 0a1b2c3d4e5f6a7b8c9d0a1b2c"), "Error: a key without a prefix …"],
    [new Error("redis://:hunter2@redis:6379/0 is down"), "Error: redis://redis:6379/… is down"],
    [new Error("key secret-ab.cd:ef-1: not found"), "Error: key secret-…: not found"],
    [new Error("key client-.ab.cd."), "Error: key client-…."],
    [new Error("key part.0a1b2c3d4e5f6a7b8c9d0a1b2c.tail:end failed"), "Error: key … failed"],
    [
      new Error("redis-0.redis.svc.cluster.local:6379 is down"),
      "Error: redis-0.redis.svc.cluster.local:6379 is down",
    ],
    ["a text", "thrown: a text"],
    [undefined, "thrown: undefined"],
    [Object.create(null), "thrown: object"],
    [Symbol("s"), "thrown: Symbol(s)"],
  ])("%#", (error, detail) => {
    expect(describeError(error).detail).toBe(detail);
  });

  test("returns one short line without a key in any context", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.constantFrom(" ", "/", "=", '"', ":", "(", "\n"),
        fc.string(),
        (before, sign, after) => {
          const { detail } = describeError(new Error(`${before}${sign}${KEY}${sign}${after}`));
          expect(detail).not.toContain(KEY.slice(7));
          expect(detail).not.toMatch(/[\r\n]/);
          expect(detail.length).toBeLessThan(320);
        },
      ),
    );
  });

  test("returns the end of the path of the code that threw, if the stack has one", () => {
    expect(describeError(new Error("here")).at).toMatch(/^platform\/supervisor\.test\.ts:\d+:\d+$/);
    expect(describeError("a text").at).toBeUndefined();
    expect(describeError(Object.assign(new Error("bare"), { stack: "Error: bare" })).at).toBeUndefined();
  });
});
