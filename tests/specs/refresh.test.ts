import { describe, expect, test } from "bun:test";
import { settle } from "../support/common/fake-clock.ts";
import { MemoryBackup } from "../support/specs/memory-backup.ts";
import { failed, unauthorized, version } from "../support/specs/scripted-source.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "../support/specs/spec-flow.ts";

const a = feedOf("secret-a");
const b = feedOf("secret-b");
const c = feedOf("secret-c");

describe("requests to upstream", () => {
  test("are limited in number, and each feed gets its turn", async () => {
    const feeds = Array.from({ length: 30 }, (_, index) => feedOf(`secret-${index}`));
    await using flow = specFlow({ maxInFlight: 3 });
    const { clock, source } = flow;
    source.otherwise = async (sinceTime, signal) => {
      await clock.sleep(500, signal);
      return sinceTime > 0 ? { kind: "no_update" } : version(1);
    };
    const asked = feeds.map((feed) => flow.cacheMiss(feed));
    await clock.advance(60_000);
    await Promise.all(asked);
    expect(source.mostInFlight).toBe(3);
    for (const feed of feeds) expect(source.count(feed)).toBeGreaterThan(3);
  });

  test("for cache misses take precedence over waiting polls", async () => {
    await using flow = specFlow({ maxInFlight: 1 });
    for (const feed of [a, b]) await flow.cacheMiss(feed);
    const answer = flow.source.hang(feedOf("secret-slow"));
    void flow.cacheMiss(feedOf("secret-slow"));
    // Less than a second, after which a stalled request gives up its slot.
    await flow.clock.advance(500);
    for (const feed of [a, b]) void flow.poll(feed);
    void flow.cacheMiss(c);
    const before = flow.source.asked.length;
    answer(version(1));
    await settle();
    const [next, ...polls] = flow.source.asked.slice(before).map(({ feed }) => feed);
    expect(next).toEqual(c);
    expect(new Set(polls)).toEqual(new Set([a, b]));
  });

  // A client waits for it now, as for any other cache miss.
  test("take precedence over waiting polls also if the feed's own poll is one of these", async () => {
    const preload = [feedOf("secret-slow"), a, b, c];
    await using flow = specFlow({ maxInFlight: 1, preload });
    const answer = flow.source.hang(feedOf("secret-slow"));
    flow.poller.start();
    await flow.clock.advance(0);
    void flow.cacheMiss(c);
    answer(version(1));
    await settle();
    expect(flow.source.asked.map(({ feed }) => feed)).toEqual([feedOf("secret-slow"), c, a, b]);
  });

  test("are never concurrent for a feed: all callers get the same outcome", async () => {
    await using flow = specFlow();
    const answer = flow.source.hang(a);
    const outcomes = Array.from({ length: 50 }, () => flow.cacheMiss(a));
    await settle();
    answer(version(3));
    expect(new Set((await Promise.all(outcomes)).map(({ kind }) => kind))).toEqual(new Set(["fresh"]));
    expect([flow.source.count(a), flow.store.peek(a)?.snapshot.lcut]).toEqual([1, 3]);
    flow.source.answer(a, version(4));
    await flow.cacheMiss(a);
    expect([flow.source.count(a), flow.store.peek(a)?.snapshot.lcut]).toEqual([2, 4]);
  });

  test("that arrive after a newer version are ignored", async () => {
    await using flow = specFlow();
    await flow.cacheMiss(a);
    const answer = flow.source.hang(a);
    await flow.clock.advance(POLL_INTERVAL_MS);
    const held = flow.store.peek(a);
    flow.store.publish({ ...(held ?? expect.unreachable()).snapshot, lcut: 9 });
    answer(version(5));
    await settle();
    expect(flow.store.peek(a)?.snapshot.lcut).toBe(9);
    expect(flow.events.at(-1)).toMatchObject({ kind: "spec_refused", reason: "older" });
  });
});

test("a version is confirmed when upstream has none newer, and only then", async () => {
  await using flow = specFlow();
  await flow.cacheMiss(a);
  const held = flow.store.peek(a);
  for (const [outcome, isConfirmed] of [
    [{ kind: "no_update" }, true],
    [version(1), true],
    [version(2), true],
    [version(1), false],
    [failed("timeout"), false],
    [unauthorized, false],
  ] as const) {
    const before = held?.confirmedAt;
    flow.source.answer(a, outcome);
    await flow.clock.advance(1_000);
    await flow.cacheMiss(a);
    expect(held?.confirmedAt).toBe(isConfirmed ? flow.clock.now() : before);
  }
});

test("a cached feed is revoked after 401 or 403, until the next success", async () => {
  await using flow = specFlow();
  await flow.cacheMiss(a);
  const held = flow.store.peek(a);
  for (const [outcome, isRevoked] of [
    [{ kind: "no_update" }, false],
    [unauthorized, true],
    [failed("timeout"), true],
    [{ kind: "no_update" }, false],
    [unauthorized, true],
    [version(2), false],
    [failed("timeout"), false],
  ] as const) {
    flow.source.answer(a, outcome);
    await flow.cacheMiss(a);
    expect(held?.isRevoked).toBe(isRevoked);
  }
});

describe("a key that upstream rejects with 401, which is not cached but in the backup", () => {
  const backup = async () => {
    const memory = new MemoryBackup();
    await memory.write(snapshotOf(a, 7));
    return memory;
  };

  test.each([0, 5_000])("is cached as revoked if upstream takes %d ms to respond", async (tookMs) => {
    await using flow = specFlow({ backup: await backup() });
    flow.source.answer(a, async (_, signal) => {
      await flow.clock.sleep(tookMs, signal);
      return unauthorized;
    });
    const asked = flow.query.ask(a.sdkKey, a.version, a.format);
    await flow.clock.advance(tookMs);
    const answer = await asked;
    if (answer.kind !== "held") throw new Error(answer.kind);
    expect(answer.held.snapshot).toMatchObject({ lcut: 7, source: "local" });
    await flow.clock.advance(1);
    expect([answer.held.isRevoked, answer.held.confirmedAt]).toEqual([true, undefined]);
    flow.source.answer(a, version(8));
    await flow.clock.advance(POLL_INTERVAL_MS);
    expect([flow.store.peek(a)?.isRevoked, flow.store.peek(a)?.snapshot.lcut]).toEqual([false, 8]);
  });

  test("is not cached with --clear-datastore-on-unauthorized", async () => {
    await using flow = specFlow({ backup: await backup(), clearOnUnauthorized: true });
    flow.source.answer(a, unauthorized);
    expect(await flow.query.ask(a.sdkKey, a.version, a.format)).toEqual({ kind: "unauthorized" });
  });
});

// The poll requested what is newer than a version that was evicted before the response.
test("a cache miss that joins a poll of a feed that was evicted meanwhile gets the version nevertheless", async () => {
  await using flow = specFlow({ maxKeys: 1 });
  await flow.cacheMiss(a);
  const answer = flow.source.hang(a);
  await flow.clock.advance(POLL_INTERVAL_MS);
  await flow.cacheMiss(b);
  const asked = flow.query.ask(a.sdkKey, a.version, a.format);
  flow.source.answer(a, version(1));
  answer({ kind: "no_update" });
  expect((await asked).kind).toBe("held");
});

test("a cache miss returns full if all keys are in use, and evicts none", async () => {
  await using flow = specFlow({ maxKeys: 1 });
  await flow.cacheMiss(a);
  flow.store.peek(a)?.follow(() => {});
  expect(await flow.cacheMiss(b)).toEqual({ kind: "full" });
  expect([...flow.store.held()].map(({ feed }) => feed)).toEqual([a]);
  expect(flow.events.at(-1)).toEqual({ kind: "spec_not_held", feed: b, maxKeys: 1 });
});
