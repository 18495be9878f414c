import { afterAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { LocalLimits, StoredVersion } from "../../src/sqlite/backup-calls.ts";
import { RelaySlots } from "../../src/sqlite/backup-users.ts";
import { SpecTable, specSchema } from "../../src/sqlite/spec-table.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { readBack } from "../support/specs/backup-contract.ts";
import { newProtoFeed, readHistory, snapshotWith } from "../support/specs/history-contract.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { deleteFolders, fileIn, newFolder, openLocal } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const feed = newProtoFeed();

/** A folder with one version that has this history. */
async function writtenFolder(history: string | Uint8Array = "of 1"): Promise<string> {
  const folder = newFolder();
  await using local = await openLocal(folder);
  await local.backup.write(await snapshotWith(feed, 1, history));
  return folder;
}

/** Runs SQL on the file as another program does. */
function execute(folder: string, sql: string): void {
  using db = new DatabaseSync(fileIn(folder));
  db.exec(sql);
}

function countHistories(folder: string): unknown {
  using db = new DatabaseSync(fileIn(folder));
  return db.prepare("SELECT count(*) AS histories FROM spec_history").get()?.["histories"];
}

describe("a file of a relay that knows nothing of histories", () => {
  const DOWNGRADE =
    "DROP TRIGGER spec_history_deleted; DROP TRIGGER spec_history_replaced; DROP TABLE spec_history";

  test("keeps its versions, and gets histories with the next ones", async () => {
    const folder = await writtenFolder();
    execute(folder, DOWNGRADE);
    await using local = await openLocal(folder);
    expect(await readBack(local.backup, feed)).toMatchObject({ lcut: 1 });
    expect(await readHistory(local.backup, feed)).toBeUndefined();
    await local.backup.write(await snapshotWith(feed, 2, "of 2"));
    expect(await readHistory(local.backup, feed)).toBe("of 2");
    expect(local.events).toEqual([]);
  });

  test.each([
    ["deletes", "DELETE FROM spec"],
    ["replaces", "INSERT OR REPLACE INTO spec SELECT * FROM spec"],
  ])("loses a history when such a relay %s its version", async (_, sql) => {
    const folder = await writtenFolder();
    execute(folder, sql);
    expect(countHistories(folder)).toBe(0);
    await using local = await openLocal(folder);
    expect(await local.backup.readHistory(feed)).toBeUndefined();
    expect(local.events).toEqual([]);
  });
});

describe("a damaged history never costs the version:", () => {
  test.each([
    ["a flipped bit", "UPDATE spec_history SET body = CAST('of 0' AS BLOB)"],
    ["another feed's", "UPDATE spec_history SET seal = randomblob(32)"],
    ["one without bytes", "UPDATE spec_history SET body = x''"],
    ["one that is too long", "UPDATE spec_history SET body = zeroblob(8 * 1024 * 1024 + 1)"],
  ])("%s", async (_, sql) => {
    const folder = await writtenFolder();
    execute(folder, sql);
    await using local = await openLocal(folder);
    expect(await readBack(local.backup, feed)).toMatchObject({ lcut: 1 });
    expect(await readHistory(local.backup, feed)).toBeUndefined();
    await local.backup.write(await snapshotWith(feed, 2, "of 2"));
    expect(await readHistory(local.backup, feed)).toBe("of 2");
    expect(local.events).toEqual([]);
  });

  test("the table is gone while the file is open", async () => {
    const folder = await writtenFolder();
    await using local = await openLocal(folder);
    execute(folder, "DROP TABLE spec_history");
    expect(await readBack(local.backup, feed)).toMatchObject({ lcut: 1 });
  });
});

describe("a history counts towards the size of the backup:", () => {
  const LIMIT = 100_000;

  test("the least recently used versions are evicted with theirs", async () => {
    const clock = new FakeClock();
    const folder = newFolder();
    const feeds = [newProtoFeed(), newProtoFeed(), newProtoFeed()] as const;
    {
      await using local = await openLocal(folder, { maxBytes: LIMIT, clock });
      for (const each of feeds) {
        await local.backup.write(await snapshotWith(each, 1, randomBytes(40_000)));
        await clock.advance(60_000);
      }
      expect(local.events).toMatchObject([{ kind: "local_evicted", versions: 1 }]);
      expect(await local.backup.read(feeds[0], -1)).toEqual({ kind: "none" });
      expect(await local.backup.readHistory(feeds[2])).toHaveLength(40_000);
    }
    expect(countHistories(folder)).toBe(2);
  });

  test("one that does not fit beside its version is left out", async () => {
    await using local = await openLocal(newFolder(), { maxBytes: LIMIT });
    await local.backup.write(await preparedSnapshot(feed, 1));
    const snapshot = await snapshotWith(feed, 2, randomBytes(LIMIT));
    expect(await local.backup.write(snapshot)).toEqual({ kind: "written" });
    expect(await readBack(local.backup, feed)).toMatchObject({ lcut: 2 });
    expect(await readHistory(local.backup, feed)).toBeUndefined();
  });

  test("one for which the disk has no room is left out", () => {
    const folder = newFolder();
    const limits: LocalLimits = { folder, maxKeys: 10, maxBytes: 10_000_000 };
    using slots = new RelaySlots(join(folder, "specs.sqlite"));
    using db = new DatabaseSync(":memory:");
    db.exec(specSchema.tables);
    const table = new SpecTable(db, limits, slots);
    db.exec("PRAGMA max_page_count = 40");
    const write = (lcut: number, history: Uint8Array<ArrayBuffer>) => {
      const body = new Uint8Array(1_000);
      const names = { feedDigest: "feed", keyDigest: "key", contentEncoding: "statsig-br" };
      const version: StoredVersion = { ...names, lcut, format: "proto", body, history };
      return table.write({ kind: "write", version, instead: undefined, hasClockTimes: false }, lcut);
    };
    const found = () => table.read({ kind: "read", feedDigest: "feed", newerThan: -1, maxBytes: 2_000 });
    expect(write(1, new Uint8Array(10_000)).outcome).toEqual({ kind: "done" });
    expect(found()).toMatchObject({ version: { lcut: 1, history: { length: 10_000 } } });
    expect(write(2, new Uint8Array(1_000_000)).outcome).toEqual({ kind: "done" });
    expect(found()).toMatchObject({ kind: "found", version: { lcut: 2 } });
    expect(table.readHistory("feed")).toEqual({ kind: "none" });
  });
});
