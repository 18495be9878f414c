import { expect, test } from "bun:test";
import fc from "fast-check";
import { takeInstant } from "../../src/platform/clock.ts";
import { toShared } from "../../src/platform/shared-bytes.ts";
import { BackupKeepAlive } from "../../src/specs/backup-keep-alive.ts";
import { BackupWriter } from "../../src/specs/backup-writer.ts";
import { feedId } from "../../src/specs/feed.ts";
import { PayloadRefused } from "../../src/specs/payload/payload.ts";
import type { SpecPreparer } from "../../src/specs/payload/preparer.ts";
import { SpecRecovery } from "../../src/specs/recovery.ts";
import { isOtherContent } from "../../src/specs/snapshot.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { FlakyBackup } from "../support/specs/flaky-backup.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { instantPreparer } from "../support/specs/spec-flow.ts";

const feeds = [feedOf("secret-a", "v1"), feedOf("secret-a", "v2"), feedOf("secret-b", "v2")];

/** Takes no time that the clock does not know of, and refuses what is no JSON as the real one does. */
const preparer: SpecPreparer = {
  ...instantPreparer,
  async prepare(raw) {
    try {
      return await instantPreparer.prepare(raw);
    } catch (error) {
      if (!(error instanceof PayloadRefused)) throw error;
      return { kind: "refused", reason: error.reason, detail: error.message };
    }
  },
};

const start = () => {
  const clock = new FakeClock();
  const backup = new FlakyBackup(clock);
  const store = new SpecStore({ maxKeys: 10 });
  const emit = () => undefined;
  const recovery = new SpecRecovery({ backup, preparer, store, clock, emit, emitBackup: emit });
  const writer = new BackupWriter({
    supervisor: strictSupervisor(clock),
    backup,
    recovery,
    store,
    clock,
    emit,
  });
  const enforcer = new BackupKeepAlive({
    supervisor: strictSupervisor(clock),
    backup,
    writer,
    store,
    clock,
    emit,
    everyMs: 60_000,
  });
  return { clock, backup, store, recovery, writer, enforcer };
};

const step = fc.oneof(
  fc.record({
    kind: fc.constant("publish" as const),
    feed: fc.nat(2),
    lcut: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({ kind: fc.constant("remove" as const), feed: fc.nat(2) }),
  fc.record({ kind: fc.constant("works" as const), works: fc.boolean() }),
  fc.record({ kind: fc.constant("lost" as const), feed: fc.nat(2) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 90_000 }) }),
);

test("after any events, a backup that recovers gets the newest cached versions, and no lcut decreases", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { clock, backup, store, writer, enforcer } = start();
      for (const each of steps) {
        const feed = feeds["feed" in each ? each.feed : 0] ?? feedOf("secret-a");
        if (each.kind === "publish") store.publish(snapshotOf(feed, each.lcut));
        if (each.kind === "works") backup.works = each.works;
        if (each.kind === "wait") await clock.advance(each.ms);
        if (each.kind === "remove") {
          const wasHeld = store.peek(feed) !== undefined;
          store.remove(feed, "unauthorized");
          writer.remove(feed, { wasHeld });
        }
        if (each.kind === "lost") {
          backup.entries.delete(feedId(feed));
          backup.writtenLcuts.delete(feedId(feed));
        }
      }
      backup.works = true;
      await clock.advance(65_000);
      for (const { feed, snapshot } of store.held()) {
        expect(backup.entries.get(feedId(feed))?.lcut).toBe(snapshot.lcut);
      }
      for (const lcuts of backup.writtenLcuts.values())
        expect(lcuts).toEqual([...new Set(lcuts)].sort((a, b) => a - b));
      await enforcer[Symbol.asyncDispose]();
      await writer[Symbol.asyncDispose]();
      expect(clock.sleeping).toBe(0);
    }),
    { numRuns: 150 },
  );
}, 60_000);

const contentStep = fc.oneof(
  fc.record({
    kind: fc.constant("publish" as const),
    feed: fc.nat(2),
    lcut: fc.integer({ min: 1, max: 4 }),
    checksum: fc.constantFrom("a", "b", "c"),
  }),
  fc.record({ kind: fc.constant("works" as const), works: fc.boolean() }),
  fc.record({ kind: fc.constant("lost" as const), feed: fc.nat(2) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 90_000 }) }),
);

test("after any events, a backup that recovers has the content of each lcut that upstream sent last", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(contentStep, { maxLength: 40 }), async (steps) => {
      const { clock, backup, store, writer, enforcer } = start();
      for (const each of steps) {
        const feed = feeds["feed" in each ? each.feed : 0] ?? feedOf("secret-a");
        if (each.kind === "publish") {
          const snapshot = snapshotOf(feed, each.lcut, each.checksum);
          const held = store.peek(feed)?.snapshot;
          const isNews = held === undefined || each.lcut > held.lcut || isOtherContent(snapshot, held);
          if (isNews) await writer.writeAhead(snapshot);
          store.publish(snapshot, { replacesContent: true });
        }
        if (each.kind === "works") backup.works = each.works;
        if (each.kind === "wait") await clock.advance(each.ms);
        if (each.kind === "lost") backup.entries.delete(feedId(feed));
      }
      backup.works = true;
      await clock.advance(65_000);
      for (const { feed, snapshot } of store.held()) {
        expect(backup.entries.get(feedId(feed))?.digest).toBe(snapshot.digest);
      }
      for (const lcuts of backup.writtenLcuts.values())
        expect(lcuts).toEqual(lcuts.toSorted((a, b) => a - b));
      await enforcer[Symbol.asyncDispose]();
      await writer[Symbol.asyncDispose]();
    }),
    { numRuns: 150 },
  );
}, 60_000);

test("a content that was stored once does not replace a later one of another relay, whatever happens then", async () => {
  const { clock, backup, store, writer, enforcer } = start();
  const [feed = feedOf("secret-a")] = feeds;
  const snapshot = snapshotOf(feed, 5, "a");
  await writer.writeAhead(snapshot);
  store.publish(snapshot);
  await clock.advance(100);
  const later = snapshotOf(feed, 5, "b");
  backup.entries.set(feedId(feed), later);
  store.confirm(feed, takeInstant(clock));
  writer.confirmed(feed);
  writer.restore(feed);
  enforcer.checkNow();
  await clock.advance(200_000);
  expect(backup.entries.get(feedId(feed))).toBe(later);
});

test("overwrites an unusable entry with a newer lcut than upstream's, and takes over a usable newer version", async () => {
  const { clock, backup, store } = start();
  const [feed] = feeds;
  if (feed === undefined) throw new Error("no feed");
  const nonsense = { ...snapshotOf(feed, 999), bytes: toShared(new TextEncoder().encode("{oops")) };
  backup.entries.set(feedId(feed), nonsense);
  store.publish(snapshotOf(feed, 10));
  await clock.advance(100);
  expect(backup.entries.get(feedId(feed))?.lcut).toBe(10);

  backup.entries.set(feedId(feed), snapshotOf(feed, 20));
  store.publish(snapshotOf(feed, 15));
  await clock.advance(100);
  expect(store.peek(feed)?.snapshot).toMatchObject({ lcut: 20, source: "redis" });
});

test("a feed that is removed and published again at once, with an older version, replaces the backup's entry", async () => {
  const { clock, backup, store, writer } = start();
  const [feed] = feeds;
  if (feed === undefined) throw new Error("no feed");
  store.publish(snapshotOf(feed, 10));
  await clock.advance(100);
  store.remove(feed, "unauthorized");
  writer.remove(feed, { wasHeld: true });
  store.publish(snapshotOf(feed, 4));
  await clock.advance(100);
  expect(backup.entries.get(feedId(feed))?.lcut).toBe(4);
});

test("a completed removal is not repeated over what another relay wrote since", async () => {
  const { clock, backup, store, writer } = start();
  const [feed] = feeds;
  if (feed === undefined) throw new Error("no feed");
  backup.works = false;
  writer.remove(feed, { wasHeld: true });
  store.publish(snapshotOf(feed, 2));
  await clock.advance(100);
  backup.works = true;
  backup.acceptsWrites = false;
  await clock.advance(2_000);
  backup.entries.set(feedId(feed), snapshotOf(feed, 3));
  backup.acceptsWrites = true;
  await clock.advance(3_000);
  expect(backup.entries.get(feedId(feed))?.lcut).toBe(3);
});

test("a version that the backup lost while upstream rejected the key is written at the next confirmation", async () => {
  const { clock, backup, store, writer, enforcer } = start();
  const [feed] = feeds;
  if (feed === undefined) throw new Error("no feed");
  store.publish(snapshotOf(feed, 10));
  await clock.advance(100);
  store.peek(feed)?.revoke(clock);
  backup.entries.delete(feedId(feed));
  enforcer.checkNow();
  await clock.advance(100);
  expect(backup.entries.has(feedId(feed))).toBe(false);
  store.confirm(feed, takeInstant(clock));
  writer.confirmed(feed);
  await clock.advance(100);
  expect(backup.entries.get(feedId(feed))?.lcut).toBe(10);
});

test("a backup that comes back during a keep-alive round gets another round", async () => {
  const { clock, backup, store, enforcer } = start();
  for (const feed of feeds) store.publish(snapshotOf(feed, 7));
  await clock.advance(10);
  backup.touchTakesMs = 500;
  await clock.advance(60_100);
  backup.entries.clear();
  enforcer.checkNow();
  await clock.advance(5_000);
  expect(backup.entries.size).toBe(3);
});

test("removals are done when the backup recovers, even after many rejected unknown keys", async () => {
  const { clock, backup, store, writer } = start();
  for (const feed of feeds) store.publish(snapshotOf(feed, 7));
  await clock.advance(10);
  backup.works = false;
  const unknownKeys = Array.from({ length: 100_100 }, (_, at) => feedOf(`secret-unknown-${at}`));
  for (const feed of unknownKeys) writer.remove(feed, { wasHeld: false });
  for (const feed of feeds) {
    store.remove(feed, "unauthorized");
    writer.remove(feed, { wasHeld: true });
  }
  backup.works = true;
  await clock.advance(5_000);
  expect(backup.entries.size).toBe(0);
  await writer[Symbol.asyncDispose]();
});

test("rewrites an entry that expired in the backup while it is cached", async () => {
  const { clock, backup, store } = start();
  for (const feed of feeds) store.publish(snapshotOf(feed, 7));
  await clock.advance(10);
  backup.entries.clear();
  await clock.advance(61_000);
  expect(backup.entries.size).toBe(3);
});
