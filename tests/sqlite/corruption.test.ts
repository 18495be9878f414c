import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { readBack } from "../support/specs/backup-contract.ts";
import { essence, preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { deleteFolders, fileIn, newFolder, openLocal } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const feed = feedOf("secret-corruption");
const version = await preparedSnapshot(feed, 10, { bytes: 500_000 });

/** A folder with an intact file. */
async function writtenFolder(): Promise<string> {
  const folder = newFolder();
  await using local = await openLocal(folder);
  await local.backup.write(version);
  await local.backup.write(await preparedSnapshot(feedOf("secret-another"), 10));
  return folder;
}

const asideIn = (folder: string) => readdirSync(folder).filter((name) => name.includes(".corrupt-"));

/** The backup opens, reports once why it starts with a new file, keeps the old one next to it, and works. */
async function expectSetAside(folder: string, why: RegExp): Promise<void> {
  const bytes = readFileSync(fileIn(folder));
  await using local = await openLocal(folder);
  expect(local.events).toMatchObject([
    { kind: "local_corrupt_set_aside", detail: expect.stringMatching(why) },
  ]);
  const [aside = ""] = asideIn(folder);
  expect(aside).toMatch(/^specs\.sqlite\.corrupt-\d{8}T\d{9}Z$/);
  expect(readFileSync(join(folder, aside)).equals(bytes)).toBe(true);
  expect(await local.backup.read(feed, -1)).toEqual({ kind: "none" });
  expect(await local.backup.write(version)).toEqual({ kind: "written" });
  expect(await readBack(local.backup, feed)).toEqual(essence(version));
}

describe("corruption that is found when the file is opened", () => {
  test("garbage", async () => {
    const folder = newFolder();
    writeFileSync(fileIn(folder), "garbage ".repeat(2_000));
    await expectSetAside(folder, /file is not a database/);
  });

  test("another program's database", async () => {
    const folder = newFolder();
    const db = new DatabaseSync(fileIn(folder));
    db.exec("PRAGMA application_id = 42; CREATE TABLE theirs (a)");
    db.close();
    await expectSetAside(folder, /another program's database/);
  });

  test("a file of another version of the relay", async () => {
    const folder = await writtenFolder();
    const db = new DatabaseSync(fileIn(folder));
    db.exec("PRAGMA journal_mode = DELETE; PRAGMA user_version = 99");
    db.close();
    await expectSetAside(folder, /has version 99/);
  });

  test("a table with another schema", async () => {
    const folder = await writtenFolder();
    const db = new DatabaseSync(fileIn(folder));
    db.exec("PRAGMA journal_mode = DELETE; ALTER TABLE spec RENAME COLUMN body TO corpse");
    db.close();
    await expectSetAside(folder, /no such column/);
  });

  test.each([0.9, 0.5, 0.1])("a file truncated to %d of its length", async (part) => {
    const folder = await writtenFolder();
    truncateSync(fileIn(folder), Math.floor(readFileSync(fileIn(folder)).length * part));
    await expectSetAside(folder, /malformed|page|not a database/);
  });

  test("pages with random bytes", async () => {
    const folder = await writtenFolder();
    const bytes = readFileSync(fileIn(folder));
    bytes.fill(0xa5, 4_096, 3 * 4_096);
    writeFileSync(fileIn(folder), bytes);
    await expectSetAside(folder, /malformed|page|Tree/);
  });

  test("at most three corrupt files are kept", async () => {
    const folder = newFolder();
    for (let round = 0; round < 5; round++) {
      writeFileSync(fileIn(folder), `garbage ${round} `.repeat(2_000));
      await using _ = await openLocal(folder);
    }
    const kept = asideIn(folder).sort();
    expect(kept.map((name) => readFileSync(join(folder, name), "utf8").slice(0, 9))).toEqual([
      "garbage 2",
      "garbage 3",
      "garbage 4",
    ]);
  });
});

describe("a flipped bit in a body, which SQLite does not notice", () => {
  const flipped = async () => {
    const folder = await writtenFolder();
    const bytes = readFileSync(fileIn(folder));
    // In the middle of a page: the beginning contains the number of the next page.
    const at = Math.floor(bytes.length / 2 / 4_096) * 4_096 + 2_000;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(fileIn(folder), bytes);
    return folder;
  };

  test("is never served, and the version is deleted", async () => {
    await using local = await openLocal(await flipped());
    expect(local.events).toEqual([]);
    expect(await local.backup.read(feed, -1)).toMatchObject({ kind: "unusable" });
    expect(await local.backup.read(feed, -1)).toEqual({ kind: "none" });
    expect(await readBack(local.backup, feedOf("secret-another"))).toMatchObject({ lcut: 10 });
  });

  test("does not block a write of the same or an older version", async () => {
    await using local = await openLocal(await flipped());
    const older = await preparedSnapshot(feed, 9);
    expect(await local.backup.write(older)).toEqual({ kind: "written" });
    expect(local.events).toMatchObject([{ kind: "local_damage_replaced" }]);
    expect(await readBack(local.backup, feed)).toEqual(essence(older));
  });
});

describe("problems that are found while the file is used", () => {
  test("a file that is overwritten is renamed; nothing corrupt is served", async () => {
    const folder = await writtenFolder();
    await using local = await openLocal(folder);
    // By another process: this one would lose its locks on the file when it closes it.
    const nonsense = ["if=/dev/urandom", `of=${fileIn(folder)}`, "bs=4096", "count=40", "conv=notrunc"];
    expect(spawnSync("dd", nonsense).status).toBe(0);
    const read = await local.backup.read(feed, -1);
    expect(read.kind).not.toBe("found");
    expect(await local.backup.write(version)).toEqual({ kind: "written" });
    expect(await readBack(local.backup, feed)).toEqual(essence(version));
    expect(local.events).toMatchObject([{ kind: "local_corrupt_set_aside" }]);
  });

  test("a folder that is deleted is created again", async () => {
    const folder = await writtenFolder();
    await using local = await openLocal(folder);
    rmSync(folder, { recursive: true });
    expect(await local.backup.write(version)).toEqual({ kind: "written" });
    await using another = await openLocal(folder);
    expect(await readBack(another.backup, feed)).toEqual(essence(version));
    expect(local.events).toEqual([]);
  });
});
