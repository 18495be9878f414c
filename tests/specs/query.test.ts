import { describe, expect, test } from "bun:test";
import { feedId } from "../../src/specs/feed.ts";
import { settle } from "../support/common/fake-clock.ts";
import { FlakyBackup } from "../support/specs/flaky-backup.ts";
import { failed, unauthorized, version } from "../support/specs/scripted-source.ts";
import { feedOf, sdkKeyOf, snapshotOf } from "../support/specs/snapshots.ts";
import { type SpecFlowOptions, specFlow } from "../support/specs/spec-flow.ts";

const a = feedOf("secret-a");
const asProto = feedOf("secret-a", "v2", "proto");

function askable(options: SpecFlowOptions = {}) {
  const flow = specFlow(options);
  return {
    ...flow,
    ask: (feed = a) => flow.query.ask(feed.sdkKey, feed.version, feed.format),
    [Symbol.asyncDispose]: () => flow[Symbol.asyncDispose](),
  };
}

describe("a held feed", () => {
  test("is returned without a request to upstream", async () => {
    await using flow = askable();
    expect(await flow.ask()).toMatchObject({ kind: "held", held: { snapshot: { lcut: 1 } } });
    flow.source.otherwise = () => unauthorized;
    await flow.clock.advance(60_000);
    const asked = flow.source.asked.length;
    for (let i = 0; i < 10; i++) expect((await flow.ask()).kind).toBe("held");
    expect(flow.source.asked.length).toBe(asked);
  });

  test("takes precedence over an entry of the negative cache", async () => {
    await using flow = askable();
    flow.source.otherwise = () => unauthorized;
    expect(await flow.ask()).toEqual({ kind: "unauthorized" });
    flow.store.publish(snapshotOf(a, 5));
    expect(await flow.ask()).toMatchObject({ kind: "held", held: { snapshot: { lcut: 5 } } });
  });

  test("has the requested version and format", async () => {
    await using flow = askable();
    await flow.ask();
    await flow.ask(feedOf("secret-a", "v1"));
    await flow.ask(asProto);
    expect(flow.source.asked.map(({ feed }) => feed)).toEqual([a, feedOf("secret-a", "v1"), asProto]);
  });
});

test("sends upstream one request for all concurrent lookups of a key, which all get its result", async () => {
  for (const outcome of [version(7), unauthorized, failed("unreachable")]) {
    await using flow = askable();
    const answer = flow.source.hang(a);
    const answers = Array.from({ length: 200 }, () => flow.ask());
    await settle();
    answer(outcome);
    const [first, ...others] = await Promise.all(answers);
    for (const other of others) expect(other).toEqual(first ?? expect.unreachable());
    expect(flow.source.asked).toHaveLength(1);
  }
});

describe("an entry of the negative cache", () => {
  test.each([
    ["401", unauthorized, { kind: "unauthorized" }, 30_000],
    ["unreachable", failed("unreachable"), { kind: "unavailable", retryAfterMs: 1_000 }, 1_000],
    [
      "a status with Retry-After",
      failed("status", 7_000),
      { kind: "unavailable", retryAfterMs: 7_000 },
      7_000,
    ],
    [
      "a status with a long Retry-After",
      failed("status", 3_600_000),
      { kind: "unavailable", retryAfterMs: 60_000 },
      60_000,
    ],
    ["no update", { kind: "no_update" }, { kind: "unavailable", retryAfterMs: 1_000 }, 1_000],
  ] as const)("for %s is kept, and upstream asked again after that", async (_, outcome, answer, ttlMs) => {
    await using flow = askable();
    flow.source.answer(a, outcome);
    for (let times = 0; times < 3; times++) expect(await flow.ask()).toEqual(answer);
    await flow.clock.advance(ttlMs - 1);
    // The rest of its TTL.
    expect(await flow.ask()).toEqual(answer.kind === "unavailable" ? { ...answer, retryAfterMs: 1 } : answer);
    expect(flow.source.asked).toHaveLength(1);
    flow.source.answer(a, version(1));
    await flow.clock.advance(2);
    expect((await flow.ask()).kind).toBe("held");
  });

  test("does not keep the relay from reading a backup that is back, even within Retry-After", async () => {
    const backup = new FlakyBackup();
    backup.entries.set(feedId(a), snapshotOf(a, 3));
    backup.works = false;
    await using flow = askable({ backup });
    flow.source.answer(a, failed("status", 60_000));
    expect(await flow.ask()).toEqual({ kind: "unavailable", retryAfterMs: 60_000 });
    backup.works = true;
    await flow.clock.advance(1_100);
    expect(await flow.ask()).toMatchObject({ kind: "held", held: { snapshot: { lcut: 3 } } });
    expect(flow.source.asked).toHaveLength(1);
  });

  test("does not live longer because it is used", async () => {
    await using flow = askable();
    flow.source.answer(a, unauthorized);
    for (let second = 0; second <= 31; second++) {
      await flow.ask();
      await flow.clock.advance(1_000);
    }
    expect(flow.source.asked).toHaveLength(2);
  });

  test("is for one key, version and format", async () => {
    await using flow = askable();
    flow.source.answer(a, unauthorized);
    await flow.ask();
    expect((await flow.ask(feedOf("secret-b"))).kind).toBe("held");
    expect((await flow.ask(feedOf("secret-a", "v1"))).kind).toBe("held");
  });

  test("is evicted when the cache is full; valid keys stay", async () => {
    await using flow = askable({ maxNegativeEntries: 10, maxKeys: 1 });
    await flow.ask();
    flow.source.otherwise = () => unauthorized;
    const invalid = Array.from({ length: 100 }, (_, index) => feedOf(`secret-invalid-${index}`));
    for (const feed of invalid) expect((await flow.ask(feed)).kind).toBe("unauthorized");
    const asked = flow.source.asked.length;
    for (const feed of invalid.slice(-10)) await flow.ask(feed);
    expect(flow.source.asked).toHaveLength(asked);
    await flow.ask(invalid[0]);
    expect(flow.source.asked).toHaveLength(asked + 1);
    expect((await flow.ask()).kind).toBe("held");
  });

  test("is also added for a key for which there is no room", async () => {
    await using flow = askable({ maxKeys: 1, preloaded: [sdkKeyOf("secret-a")] });
    await flow.ask();
    const answer = { kind: "unavailable", retryAfterMs: 1_000 } as const;
    expect(await flow.ask(feedOf("secret-b"))).toEqual(answer);
    expect(await flow.ask(feedOf("secret-b"))).toEqual(answer);
    expect(flow.source.count(feedOf("secret-b"))).toBe(1);
  });
});

describe("a request for protobuf that is not available", () => {
  test("returns cached JSON, and protobuf as soon as upstream has it", async () => {
    await using flow = askable();
    await flow.ask();
    flow.source.answer(asProto, failed("status"));
    for (let times = 0; times < 3; times++) {
      expect(await flow.ask(asProto)).toMatchObject({ kind: "held", held: { feed: a } });
    }
    expect(flow.source.count(asProto)).toBe(1);
    flow.source.answer(asProto, version(2));
    await flow.clock.advance(1_001);
    expect(await flow.ask(asProto)).toMatchObject({ kind: "held", held: { feed: asProto } });
  });

  test("returns no JSON of another version, and only cached JSON", async () => {
    await using flow = askable();
    await flow.ask(feedOf("secret-a", "v1"));
    flow.source.answer(asProto, failed("status"));
    expect((await flow.ask(asProto)).kind).toBe("unavailable");
    expect(flow.source.count(a)).toBe(0);
  });

  test("returns unauthorized if upstream rejects the key, even if JSON is cached", async () => {
    await using flow = askable();
    await flow.ask();
    flow.source.answer(asProto, unauthorized);
    expect(await flow.ask(asProto)).toEqual({ kind: "unauthorized" });
  });
});

test("a client waits less than 10 s for the first version of a key, which is still fetched and cached", async () => {
  await using flow = askable();
  flow.source.answer(a, async (_, signal, progressed) => {
    for (let second = 0; second < 60; second++) {
      await flow.clock.sleep(1_000, signal);
      progressed();
    }
    return version(3);
  });
  const asked = flow.ask();
  await flow.clock.advance(9_999);
  expect(await asked).toEqual({ kind: "unavailable", retryAfterMs: 1_000 });
  await flow.clock.advance(42_001);
  const later = flow.ask();
  await flow.clock.advance(8_000);
  expect(await later).toMatchObject({ kind: "held", held: { snapshot: { lcut: 3 } } });
  expect(flow.source.asked).toHaveLength(1);
});
