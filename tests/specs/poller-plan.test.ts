import { describe, expect, test } from "bun:test";
import { failed } from "../support/specs/scripted-source.ts";
import { feedOf, sdkKeyOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "../support/specs/spec-flow.ts";

const a = feedOf("secret-a");
const b = feedOf("secret-b");

const HOUR_MS = 3_600_000;

describe("another interval", () => {
  test("counts from the last poll: a feed that has waited less waits for the rest", async () => {
    await using flow = specFlow();
    flow.poller.reconfigure({ intervalMs: HOUR_MS, preload: [] });
    await flow.cacheMiss(a);
    await flow.clock.advance(POLL_INTERVAL_MS);
    flow.poller.reconfigure({ intervalMs: 3 * POLL_INTERVAL_MS, preload: [] });
    await flow.clock.advance(1.6 * POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBe(1);
    await flow.clock.advance(0.5 * POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBe(2);
    await flow.clock.advance(30 * POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBeWithin(11, 14);
  });

  test("for which all feeds are overdue does not make them poll at the same time", async () => {
    await using flow = specFlow();
    flow.poller.reconfigure({ intervalMs: HOUR_MS, preload: [] });
    const feeds = Array.from({ length: 40 }, (_, at) => feedOf(`secret-${at}`));
    for (const feed of feeds) await flow.cacheMiss(feed);
    await flow.clock.advance(HOUR_MS / 2);
    flow.poller.reconfigure({ intervalMs: POLL_INTERVAL_MS, preload: [] });
    await flow.clock.advance(POLL_INTERVAL_MS / 4);
    const early = feeds.filter((feed) => flow.source.count(feed) > 1).length;
    expect(early).toBeWithin(1, 30);
    await flow.clock.advance(POLL_INTERVAL_MS);
    for (const feed of feeds) expect(flow.source.count(feed)).toBeGreaterThan(1);
  });

  test("keeps Retry-After", async () => {
    await using flow = specFlow();
    await flow.cacheMiss(a);
    flow.source.answer(a, failed("status", 5 * POLL_INTERVAL_MS));
    await flow.clock.advance(POLL_INTERVAL_MS);
    const polled = flow.source.count(a);
    flow.poller.reconfigure({ intervalMs: POLL_INTERVAL_MS / 10, preload: [] });
    await flow.clock.advance(3.5 * POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBe(polled);
  });

  test("that is the same as before interrupts no wait", async () => {
    await using flow = specFlow();
    await flow.cacheMiss(a);
    for (let times = 0; times < 20; times++) {
      await flow.clock.advance(POLL_INTERVAL_MS / 10);
      flow.poller.reconfigure({ intervalMs: POLL_INTERVAL_MS, preload: [] });
    }
    expect(flow.source.count(a)).toBeWithin(2, 4);
    expect(flow.clock.sleeping).toBe(1);
  });
});

describe("other preloaded feeds", () => {
  test("polls an added feed at once, and stops polling a removed one unless it is cached", async () => {
    await using flow = specFlow({ preload: [a, b] });
    flow.source.answer(b, failed("broken"));
    flow.poller.start();
    await flow.clock.advance(POLL_INTERVAL_MS);
    const c = feedOf("secret-c");
    flow.poller.reconfigure({ intervalMs: POLL_INTERVAL_MS, preload: [c] });
    await flow.clock.advance(1);
    expect(flow.store.peek(c)?.snapshot.lcut).toBe(1);
    const [ofA, ofB] = [flow.source.count(a), flow.source.count(b)];
    await flow.clock.advance(5 * POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBeGreaterThan(ofA + 3);
    expect(flow.source.count(b)).toBe(ofB);
  });

  test("are not evicted if there are too many keys, and removed ones are", async () => {
    await using flow = specFlow({
      maxKeys: 2,
      preload: [a, b],
      preloaded: [sdkKeyOf("secret-a"), sdkKeyOf("secret-b")],
    });
    flow.poller.start();
    await flow.clock.advance(1);
    const c = feedOf("secret-c");
    expect((await flow.cacheMiss(c)).kind).toBe("full");
    flow.store.preload([sdkKeyOf("secret-b")]);
    flow.poller.reconfigure({ intervalMs: POLL_INTERVAL_MS, preload: [b] });
    expect((await flow.cacheMiss(c)).kind).toBe("fresh");
    expect(flow.store.peek(a)).toBeUndefined();
    expect(flow.clock.sleeping).toBe(2);
  });
});
