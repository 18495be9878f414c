import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { FakeClock } from "../support/common/fake-clock.ts";
import {
  ANYTHING,
  batchOf,
  eventBatch,
  eventGroup,
  eventText,
  largeEvent,
} from "../support/log-events/event-batches.ts";
import { describeEventQueue } from "../support/log-events/event-queue-contract.ts";
import { drain, openSpool, spoolFileIn } from "../support/sqlite/event-spools.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

describeEventQueue("the event spool", async (options) => (await openSpool(newFolder(), options)).spool);

const HOUR_MS = 3_600_000;
const [a, b] = [eventGroup("a"), eventGroup("b")];
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe("after a restart", () => {
  test("all events that were not acknowledged are there, in order, with their groups", async () => {
    const folder = newFolder();
    const now = Date.now();
    {
      await using opened = await openSpool(folder);
      const { spool } = opened;
      for (let at = 0; at < 6; at++)
        await spool.put(eventBatch(at % 2 === 0 ? a : b, [`${at}`, `${at}'`], now + at));
      const limits = { ...ANYTHING, maxEvents: 4 };
      const ofA = await spool.claim(limits);
      // Claimed, but not acknowledged.
      expect(await spool.claim(limits)).toMatchObject({ group: b });
      if (ofA !== undefined) await spool.ack(ofA, 3);
      expect(spool.depth).toMatchObject({ batches: 5, events: 9 });
    }
    expect(readdirSync(folder).sort()).toEqual(["events.sqlite", "events.sqlite.lock"]);
    await using opened = await openSpool(folder);
    const { spool, events } = opened;
    expect(events).toEqual([]);
    expect(spool.depth).toMatchObject({ batches: 5, events: 9 });
    expect(spool.nextDueAt(1_000)).toBe(now + 1 + 1_000);
    const first = await spool.claim(ANYTHING);
    expect(first).toMatchObject({ group: b, queuedAt: now + 1 });
    expect(first?.events).toEqual(["1", "1'", "3", "3'", "5", "5'"].map(eventText));
    expect(await drain(spool)).toEqual(new Map([[a.metadata, ["2'", "4", "4'"].map(eventText)]]));
  });

  test("new events come after them", async () => {
    const folder = newFolder();
    for (let round = 0; round < 3; round++) {
      await using opened = await openSpool(folder);
      await opened.spool.put(eventBatch(a, [`${round}`], Date.now()));
    }
    await using opened = await openSpool(folder);
    expect(await drain(opened.spool)).toEqual(new Map([[a.metadata, ["0", "1", "2"].map(eventText)]]));
  });
});

describe("limits", () => {
  test("above the size, the oldest events of all groups are dropped, but no claimed ones", async () => {
    const clock = new FakeClock();
    await using opened = await openSpool(newFolder(), { clock, maxBytes: 106_000 });
    const { spool, events } = opened;
    const put = async (group: typeof a, label: string) => {
      const batch = batchOf(group, [`"${label}"`, largeEvent(20_000)], clock.now());
      expect(await spool.put(batch)).toBe("queued");
      await clock.advance(1);
      return batch;
    };
    const [taken, dropped] = [await put(a, "taken"), await put(b, "dropped")];
    const inHand = await spool.claim(ANYTHING);
    expect(inHand).toMatchObject({ group: a });
    const kept = [];
    for (const label of ["1", "2", "3", "4"]) kept.push(await put(label < "3" ? b : a, label));
    expect(events).toEqual([{ kind: "spool_dropped", events: 2, bytes: dropped.bytes, reason: "size" }]);
    expect(spool.filled).toBeWithin(0.9, 1);
    const left = [taken, ...kept];
    expect(spool.depth).toEqual({
      batches: 5,
      events: 10,
      bytes: left.reduce((sum, { bytes }) => sum + bytes, 0),
    });
    if (inHand !== undefined) await spool.nack(inHand);
    const byGroup = await drain(spool);
    expect(byGroup.get(a.metadata)).toEqual([taken, ...kept.slice(2)].flatMap((batch) => batch.events));
    expect(byGroup.get(b.metadata)).toEqual(kept.slice(0, 2).flatMap((batch) => batch.events));
    expect(spool.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
    expect(spool.filled).toBe(0);
  });

  test("above the number of batches, the oldest are dropped; a lower limit applies from the next put on", async () => {
    const folder = newFolder();
    const put = async (maxBatches: number, labels: readonly string[]) => {
      await using opened = await openSpool(folder, { maxBatches });
      const puts = labels.map((label) => opened.spool.put(eventBatch(a, [label], Date.now())));
      expect(await Promise.all(puts)).toEqual(labels.map(() => "queued"));
      return opened.events.map((event) => ("events" in event ? event.events : 0)).reduce((x, y) => x + y, 0);
    };
    expect(await put(4, ["1", "2", "3", "4", "5", "6"])).toBe(2);
    expect(await put(2, ["7"])).toBe(3);
    await using opened = await openSpool(folder);
    expect(await drain(opened.spool)).toEqual(new Map([[a.metadata, ["6", "7"].map(eventText)]]));
  });

  test("events that are too old are dropped with the next put or claim, and after a restart", async () => {
    const clock = new FakeClock();
    const folder = newFolder();
    const old = eventBatch(a, ["old", "old too"], clock.now());
    const dropped = { kind: "spool_dropped", reason: "age" } as const;
    {
      await using opened = await openSpool(folder, { clock });
      const { spool, events } = opened;
      await spool.put(old);
      await clock.advance(HOUR_MS);
      await spool.put(eventBatch(b, ["1"], clock.now()));
      await spool.put(eventBatch(a, ["2"], clock.now()));
      await clock.advance(71 * HOUR_MS);
      expect(spool.depth.batches).toBe(3);
      await spool.put(eventBatch(b, ["3"], clock.now()));
      expect(events).toEqual([]);
      await clock.advance(1);
      const taken = await spool.claim(ANYTHING);
      expect(taken).toMatchObject({ group: b, events: ["1", "3"].map(eventText) });
      expect(events).toEqual([{ ...dropped, events: 2, bytes: old.bytes }]);
      if (taken !== undefined) await spool.nack(taken);
    }
    await clock.advance(HOUR_MS);
    await using opened = await openSpool(folder, { clock });
    const bytes = eventBatch(a, ["1", "2"], 0).bytes;
    expect(opened.events).toEqual([{ ...dropped, events: 2, bytes }]);
    expect(await drain(opened.spool)).toEqual(new Map([[b.metadata, [eventText("3")]]]));
  });
});

test("only the owner can access files and folder, and no file name contains a key", async () => {
  const folder = join(newFolder(), "deeper", "down");
  await using opened = await openSpool(folder);
  for (const group of [a, b]) await opened.spool.put(eventBatch(group, ["1"], Date.now()));
  const modes = readdirSync(folder).map((name) => `${name} ${modeOf(join(folder, name))}`);
  expect(modes.sort()).toEqual(["events.sqlite 600", "events.sqlite-wal 600", "events.sqlite.lock 600"]);
  expect([modeOf(folder), modeOf(dirname(folder))]).toEqual(["700", "700"]);
  // As documented: events can't be forwarded without their SDK key.
  expect(readFileSync(`${spoolFileIn(folder)}-wal`).includes(a.sdkKey)).toBe(true);
});

test("a closed spool rejects calls and can be closed again; earlier puts are kept", async () => {
  const folder = newFolder();
  const { spool } = await openSpool(folder);
  const batch = eventBatch(a, ["1"], Date.now());
  const put = spool.put(batch);
  await spool[Symbol.asyncDispose]();
  expect(await put).toBe("queued");
  await spool[Symbol.asyncDispose]();
  await expect(spool.put(batch)).rejects.toThrow(/closed/);
  await expect(spool.claim(ANYTHING)).rejects.toThrow(/closed/);
  await using again = await openSpool(folder);
  expect(again.spool.depth.batches).toBe(1);
});

test("an empty file shrinks when it is closed", async () => {
  const folder = newFolder();
  const { spool } = await openSpool(folder);
  for (let at = 0; at < 20; at++) await spool.put(batchOf(a, [largeEvent(100_000)], Date.now()));
  await drain(spool);
  await spool[Symbol.asyncDispose]();
  expect(statSync(spoolFileIn(folder)).size).toBeLessThan(50_000);
});
