import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Feed } from "../../src/specs/feed.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { describeBackup, readBack } from "../support/specs/backup-contract.ts";
import { essence, preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { deleteFolders, fileIn, newFolder, openLocal } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const shared = newFolder();

describeBackup("the local backup", async () => (await openLocal(shared)).backup);

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const HOUR_MS = 3_600_000;

test("only the owner can access files and folder", async () => {
  const folder = join(newFolder(), "deeper", "down");
  {
    await using local = await openLocal(folder);
    await local.backup.write(await preparedSnapshot(feedOf("secret-modes"), 1));
    const modes = readdirSync(folder).map((name) => `${name} ${modeOf(join(folder, name))}`);
    const suffixes = ["", "-shm", "-wal", ".lock", ".relay-1"];
    expect(modes.sort()).toEqual(suffixes.map((suffix) => `specs.sqlite${suffix} 600`));
    expect([modeOf(folder), modeOf(dirname(folder))]).toEqual(["700", "700"]);
  }
  chmodSync(fileIn(folder), 0o644);
  await using _ = await openLocal(folder);
  expect(modeOf(fileIn(folder))).toBe("600");
});

test("SDK keys are stored as digests only; after closing, everything is in one file", async () => {
  const folder = newFolder();
  const key = "secret-Zq81LmXw02VtRbNcKdYs";
  const found = (name: string) => readFileSync(join(folder, name)).includes(key.slice(0, 12));
  {
    await using local = await openLocal(folder);
    for (const version of ["v1", "v2"] as const) {
      await local.backup.write(await preparedSnapshot(feedOf(key, version), 1));
    }
    await local.backup.write(await preparedSnapshot(feedOf(key, "v2", "proto"), 1));
    expect(statSync(`${fileIn(folder)}-wal`).size).toBeGreaterThan(0);
    expect(found("specs.sqlite-wal")).toBe(false);
  }
  expect(readdirSync(folder).sort()).toEqual(["specs.sqlite", "specs.sqlite.lock", "specs.sqlite.relay-1"]);
  expect(statSync(`${fileIn(folder)}.lock`).size).toBe(0);
  expect(found("specs.sqlite")).toBe(false);
  expect(readFileSync(fileIn(folder)).length).toBeGreaterThan(4_096);
});

describe("limits", () => {
  const present = async (local: Awaited<ReturnType<typeof openLocal>>, feeds: readonly Feed[]) => {
    const kept = await Promise.all(feeds.map((feed) => local.backup.read(feed, -1)));
    return feeds.filter((_, at) => kept[at]?.kind === "found").map(({ sdkKey }) => String(sdkKey));
  };

  test("above the number of SDK keys, the least recently used one is evicted with all its feeds", async () => {
    const clock = new FakeClock();
    const folder = newFolder();
    const feeds = ["key-a", "key-b", "key-c", "key-d"].map((key) => feedOf(key));
    {
      await using local = await openLocal(folder, { maxKeys: 3, clock });
      await local.backup.write(await preparedSnapshot(feedOf("key-a"), 1));
      await clock.advance(HOUR_MS);
      await local.backup.write(await preparedSnapshot(feedOf("key-b"), 1));
      await local.backup.write(await preparedSnapshot(feedOf("key-b", "v1"), 1));
      await clock.advance(HOUR_MS);
      await local.backup.write(await preparedSnapshot(feedOf("key-c"), 1));
      expect(await local.backup.touch(snapshotOf(feedOf("key-a"), 1))).toBe(true);
      expect(local.events).toEqual([]);
      await local.backup.write(await preparedSnapshot(feedOf("key-d"), 1));
      expect(local.events).toMatchObject([{ kind: "local_evicted", versions: 2 }]);
      expect(await present(local, feeds)).toEqual(["key-a", "key-c", "key-d"]);
    }
    await using fewer = await openLocal(folder, { maxKeys: 1, clock });
    expect(fewer.events).toMatchObject([{ kind: "local_evicted", versions: 2 }]);
    expect(await present(fewer, feeds)).toHaveLength(1);
  });

  test("above the size, the least recently used versions are evicted", async () => {
    const clock = new FakeClock();
    const feeds = ["key-a", "key-b", "key-c"].map((key) => feedOf(key));
    const snapshots = await Promise.all(feeds.map((feed) => preparedSnapshot(feed, 1, { bytes: 100_000 })));
    const bytes = snapshots.map(({ compressed }) => compressed.zstd?.length ?? 0);
    const maxBytes = Math.max(...bytes) * 2 + 1_000;
    await using local = await openLocal(newFolder(), { maxBytes, clock });
    for (const snapshot of snapshots) {
      await local.backup.write(snapshot);
      await clock.advance(HOUR_MS);
    }
    expect(local.events).toMatchObject([{ kind: "local_evicted", versions: 1 }]);
    expect(await present(local, feeds)).toEqual(["key-b", "key-c"]);
  });

  test("a version larger than the limit is rejected, and the stored one is kept", async () => {
    await using local = await openLocal(newFolder(), { maxBytes: 5_000 });
    const feed = feedOf("key-a");
    const small = await preparedSnapshot(feed, 1);
    await local.backup.write(small);
    const large = await preparedSnapshot(feed, 2, { bytes: 100_000 });
    await expect(local.backup.write(large)).rejects.toThrow(/bytes exceeds the limit of 5000 bytes/);
    expect(await readBack(local.backup, feed)).toEqual(essence(small));
  });

  test("the file does not grow with the number of versions", async () => {
    const folder = newFolder();
    {
      await using local = await openLocal(folder);
      const feed = feedOf("key-a");
      const large = await preparedSnapshot(feed, 1, { bytes: 500_000 });
      for (let lcut = 1; lcut <= 50; lcut++) await local.backup.write({ ...large, lcut });
    }
    expect(statSync(fileIn(folder)).size).toBeLessThan(1_500_000);
  });
});

test("a manifest that was written while the clock was ahead is replaced, but not one within the tolerance", async () => {
  const clock = new FakeClock();
  await using local = await openLocal(newFolder(), { clock });
  const key = feedOf("secret-clock").sdkKey;
  const writtenAt = async (text: string, fetchedAt: number) => {
    await local.backup.writeManifest(key, text, fetchedAt);
    return local.backup.readManifest(key);
  };
  expect(await writtenAt("ahead", clock.now() + 24 * HOUR_MS)).toBe("ahead");
  expect(await writtenAt("right", clock.now())).toBe("right");
  expect(await writtenAt("a little ahead", clock.now() + 30_000)).toBe("a little ahead");
  expect(await writtenAt("older", clock.now() + 10_000)).toBe("a little ahead");
});
