import { describe, expect, test } from "bun:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import type { RpcEvent } from "../../src/grpc/events.ts";
import {
  MAX_LINES,
  MAX_REASONS,
  MIN_INTERVAL_MS,
  type ThreadEvent,
  ThreadEventBatch,
} from "../../src/serving/event-batch.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const feed = feedOf("secret-one-0123456789");
const other = feedOf("secret-two-0123456789");

function startBatch() {
  const sent: ThreadEvent[] = [];
  const clock = new FakeClock();
  const batch = new ThreadEventBatch({ clock, send: (event) => sent.push(structuredClone(event)) });
  const rpc = (event: RpcEvent) => batch.add({ kind: "rpc", event });
  const taken = () => sent.splice(0);
  return { batch, clock, rpc, taken };
}

const limit: ThreadEvent = { kind: "limit", event: { kind: "limit_reached", limit: "max-connections" } };
const request = (tookMs: number): ThreadEvent => ({
  kind: "http",
  event: { kind: "http_request", method: "GET", route: "/v1/health", status: 200, tookMs },
});

describe("a batch of events", () => {
  test("an update of 10,000 streams is one event per feed and version", () => {
    const { batch, rpc, taken } = startBatch();
    for (let at = 0; at < 10_000; at++) {
      rpc({ kind: "stream_sent", feed: { ...feed }, item: "spec", lcut: 7, bytes: 9 });
      if (at < 2) rpc({ kind: "stream_sent", feed: other, item: "spec", lcut: 7, bytes: 9 });
    }
    rpc({ kind: "stream_sent", feed, item: "spec", lcut: 8, bytes: 9 });
    rpc({ kind: "stream_sent", feed, item: "no_update", lcut: 8, bytes: 9 });
    batch.flush();
    expect(taken()).toEqual([
      { kind: "rpc", event: { kind: "stream_sent", feed, item: "spec", lcut: 7, bytes: 9, count: 10_000 } },
      { kind: "rpc", event: { kind: "stream_sent", feed: other, item: "spec", lcut: 7, bytes: 9, count: 2 } },
      { kind: "rpc", event: { kind: "stream_sent", feed, item: "spec", lcut: 8, bytes: 9 } },
      { kind: "rpc", event: { kind: "stream_sent", feed, item: "no_update", lcut: 8, bytes: 9 } },
    ]);
  });

  test("streams that open and close are merged, with the latest number of open ones", () => {
    const { batch, rpc, taken } = startBatch();
    for (const openStreams of [1, 2, 3]) rpc({ kind: "stream_opened", feed, openStreams });
    for (const openStreams of [2, 1]) rpc({ kind: "stream_closed", feed, openStreams });
    batch.flush();
    expect(taken().map(({ event }) => event)).toEqual([
      { kind: "stream_opened", feed, openStreams: 3, count: 3 },
      { kind: "stream_closed", feed, openStreams: 1, count: 2 },
    ]);
  });

  test("reasons that clients make up are limited, and all are counted", () => {
    const { batch, taken } = startBatch();
    for (let at = 0; at < 5_000; at++) {
      batch.add({ kind: "tls", event: { kind: "tls_client_refused", reason: `reason ${at}` } });
      batch.add(limit);
    }
    batch.flush();
    const events = taken();
    expect(events).toHaveLength(MAX_REASONS + 2);
    const ofTls = events.flatMap(({ event }) => (event.kind === "tls_client_refused" ? event : []));
    expect(ofTls.reduce((sum, { count = 1 }) => sum + count, 0)).toBe(5_000);
    expect(ofTls.at(-1)).toEqual({
      kind: "tls_client_refused",
      reason: "other",
      count: 5_000 - MAX_REASONS,
    });
    expect(events).toContainEqual({
      kind: "limit",
      event: { kind: "limit_reached", limit: "max-connections", count: 5_000 },
    });
  });

  test("the next batch has room for as many reasons again", () => {
    const { batch, taken } = startBatch();
    for (let round = 0; round < 2; round++) {
      for (let at = 0; at < MAX_REASONS; at++)
        batch.add({ kind: "tls", event: { kind: "tls_client_refused", reason: `reason ${at}` } });
      batch.flush();
      expect(taken().map(({ event }) => JSON.stringify(event))).not.toContainEqual(
        expect.stringContaining("other"),
      );
    }
  });

  test("lines of the debug log are limited, and the next one says how many were left out", () => {
    const { batch, rpc, taken } = startBatch();
    const added = Array.from({ length: MAX_LINES + 20 }, (_, at) => batch.add(request(at)));
    expect(added.filter((isAdded) => !isAdded)).toHaveLength(20);
    expect(rpc({ kind: "rpc_answered", feed, code: "ok", bytes: 9, tookMs: 1 })).toBe(false);
    expect(rpc({ kind: "stream_opened", feed, openStreams: 1 })).toBe(true);
    batch.flush();
    expect(taken()).toHaveLength(MAX_LINES + 1);
    for (let at = 0; at < 2; at++) batch.add(request(at));
    batch.flush();
    expect(taken().map(({ event }) => event)).toMatchObject([{ notShownBefore: 20 }, { tookMs: 1 }]);
  });
});

describe("the time of a batch", () => {
  test("is the same turn for the first event, and then an interval", async () => {
    const { batch, clock, taken } = startBatch();
    batch.add(limit);
    expect(taken()).toEqual([]);
    await nextTurn();
    expect(taken()).toEqual([limit]);
    batch.add(limit);
    batch.add(limit);
    await clock.advance(MIN_INTERVAL_MS - 1);
    expect(taken()).toEqual([]);
    await clock.advance(1);
    expect(taken()).toMatchObject([{ event: { count: 2 } }]);
    await clock.advance(10 * MIN_INTERVAL_MS);
    batch.add(limit);
    await nextTurn();
    expect(taken()).toEqual([limit]);
    expect(clock.sleeping).toBe(0);
  });

  test("a flood that never ends is at most one batch per interval", async () => {
    const { batch, clock, taken } = startBatch();
    for (let ms = 0; ms < 1_000; ms++) {
      for (let at = 0; at < 20; at++) batch.add(limit);
      await clock.advance(1);
    }
    batch.flush();
    const events = taken().map(({ event }) => event);
    expect(events.length).toBeLessThanOrEqual(1_000 / MIN_INTERVAL_MS + 2);
    expect(events.reduce((sum, event) => sum + ("count" in event ? (event.count ?? 1) : 1), 0)).toBe(20_000);
  });

  test("disposing ends the wait", async () => {
    const { batch, clock, taken } = startBatch();
    batch.add(limit);
    await nextTurn();
    batch.add(limit);
    batch[Symbol.dispose]();
    expect(clock.sleeping).toBe(0);
    await clock.advance(1_000);
    expect(taken()).toEqual([limit]);
  });
});

const events = fc.oneof(
  fc.record({
    kind: fc.constantFrom("stream_opened" as const, "stream_closed" as const),
    feed: fc.constantFrom(feed, other),
    openStreams: fc.nat(3),
  }),
  fc.record({
    kind: fc.constant("stream_sent" as const),
    feed: fc.constantFrom(feed, other),
    item: fc.constantFrom("spec" as const, "no_update" as const),
    lcut: fc.nat(2),
    bytes: fc.nat(2),
  }),
  fc.record({
    kind: fc.constant("stream_refused" as const),
    code: fc.constantFrom("permission_denied", "unavailable"),
    isFull: fc.boolean(),
  }),
);

/** Returns the events that the batches stand for, as texts, without what only the latest says. */
function expand(all: readonly RpcEvent[]): string[] {
  return all
    .flatMap((event) => {
      const { count = 1, ...rest } = event as RpcEvent & { readonly count?: number };
      const text = JSON.stringify({ ...rest, openStreams: undefined });
      return Array.from({ length: count }, () => text);
    })
    .sort();
}

test("for any events and any batches, the same events arrive", () => {
  const property = fc.property(fc.array(fc.option(events, { nil: undefined })), (all) => {
    const { batch, rpc, taken } = startBatch();
    for (const event of all) {
      if (event === undefined) batch.flush();
      else rpc(event);
    }
    batch.flush();
    const arrived = taken().flatMap((each) => (each.kind === "rpc" ? each.event : []));
    expect(expand(arrived)).toEqual(expand(all.filter((event) => event !== undefined)));
  });
  fc.assert(property);
});
