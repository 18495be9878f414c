import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { djb2 } from "../../../src/access/sdk-key.ts";
import type { SpecBackup } from "../../../src/specs/backup.ts";
import type { ApiVersion, Feed, SpecFormat } from "../../../src/specs/feed.ts";
import { testHistories } from "./history-contract.ts";
import { essence, preparedPayload, preparedSnapshot } from "./prepared-snapshots.ts";
import { feedOf } from "./snapshots.ts";

/** Returns a feed of a key that no other test uses, so that tests do not affect each other. */
const newFeed = (version: ApiVersion = "v2", format: SpecFormat = "json"): Feed =>
  feedOf(`secret-${randomUUID()}`, version, format);

/** Reads and prepares the entry of a feed; returns undefined if there is no newer one. */
export async function readBack(backup: SpecBackup, feed: Feed, newerThan = -1) {
  const read = await backup.read(feed, newerThan);
  if (read.kind === "none") return undefined;
  if (read.kind === "unusable") throw new Error(`unusable: ${read.detail}`);
  expect(read.raw.sdkKeyHash).toBe(djb2(feed.sdkKey));
  return essence({ ...(await preparedPayload(read.raw)), feed });
}

/**
 * The contract that every backup must fulfill. `open` opens the same place with each call, as a restarted relay or a second one
 * does. The place has room for 200 keys.
 */
export function describeBackup(name: string, open: () => Promise<SpecBackup>): void {
  describe(`${name} keeps the contract of a backup`, () => {
    test("there is nothing of a feed that was never written", async () => {
      await using backup = await open();
      const feed = newFeed();
      expect(await backup.read(feed, -1)).toEqual({ kind: "none" });
      expect(await backup.touch(await preparedSnapshot(feed, 1))).toBe(false);
      await backup.remove(feed);
    });

    test.each([
      ["v1", "json"],
      ["v2", "json"],
      ["v2", "proto"],
    ] as const)("a version of %s %s reads back whole", async (version, format) => {
      await using backup = await open();
      const snapshot = await preparedSnapshot(newFeed(version, format), 1_700_000_000_000);
      expect(await backup.write(snapshot)).toEqual({ kind: "written" });
      expect(await readBack(backup, snapshot.feed)).toEqual(essence(snapshot));
    });

    test("so does JSON with which upstream answered a protobuf feed", async () => {
      await using backup = await open();
      const feed = newFeed("v2", "proto");
      const snapshot = await preparedSnapshot(feed, 1, { format: "json" });
      await backup.write(snapshot);
      expect(await readBack(backup, feed)).toEqual(essence(snapshot));
      const proto = await preparedSnapshot(feed, 2);
      await backup.write(proto);
      expect(await readBack(backup, feed)).toEqual(essence(proto));
    });

    test("so does one of 5 MB", async () => {
      await using backup = await open();
      const snapshot = await preparedSnapshot(newFeed(), 1, { bytes: 5 * 1024 * 1024 });
      await backup.write(snapshot);
      expect(await readBack(backup, snapshot.feed)).toEqual(essence(snapshot));
      expect(snapshot.bytes.length).toBe(5 * 1024 * 1024);
    });

    test("the version is that of x-since-time, where the body's own time is another", async () => {
      await using backup = await open();
      const snapshot = await preparedSnapshot(newFeed(), 5, { headerLcut: 7 });
      await backup.write(snapshot);
      expect(await readBack(backup, snapshot.feed)).toMatchObject({ lcut: 7 });
    });

    test("only what is newer than was asked for is read", async () => {
      await using backup = await open();
      const snapshot = await preparedSnapshot(newFeed(), 1_700_000_000_000);
      await backup.write(snapshot);
      expect(await readBack(backup, snapshot.feed, 1_699_999_999_999)).toEqual(essence(snapshot));
      expect(await readBack(backup, snapshot.feed, 1_700_000_000_000)).toBeUndefined();
      expect(await readBack(backup, snapshot.feed, 1_700_000_000_001)).toBeUndefined();
    });

    test("only a newer version takes the place of one", async () => {
      await using backup = await open();
      const feed = newFeed();
      const [older, first, same, newer] = await Promise.all([
        preparedSnapshot(feed, 9),
        preparedSnapshot(feed, 10),
        preparedSnapshot(feed, 10, { color: "another" }),
        preparedSnapshot(feed, 11),
      ]);
      expect(await backup.write(first)).toEqual({ kind: "written" });
      expect(await backup.write(older)).toEqual({ kind: "not_newer", lcut: 10 });
      expect(await backup.write(same)).toEqual({ kind: "not_newer", lcut: 10 });
      expect(await readBack(backup, feed)).toEqual(essence(first));
      expect(await backup.write(newer)).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toEqual(essence(newer));
    });

    test("upstream's later content takes the place of another one with the same lcut, but of nothing else", async () => {
      await using backup = await open();
      const feed = newFeed();
      const [older, first, other, newer] = await Promise.all([
        preparedSnapshot(feed, 9, { color: "later" }),
        preparedSnapshot(feed, 10),
        preparedSnapshot(feed, 10, { color: "later" }),
        preparedSnapshot(feed, 11),
      ]);
      expect(await backup.write(first, "other_content")).toEqual({ kind: "written" });
      expect(await backup.write(first, "other_content")).toEqual({ kind: "not_newer", lcut: 10 });
      expect(await backup.write(older, "other_content")).toEqual({ kind: "not_newer", lcut: 10 });
      const replaced = { kind: "written", replacedContent: true } as const;
      expect(await backup.write(other, "other_content")).toEqual(replaced);
      expect(await readBack(backup, feed)).toEqual(essence(other));
      // A relay that holds the earlier content neither writes it again nor finds the entry lost.
      expect(await backup.write(first)).toEqual({ kind: "not_newer", lcut: 10 });
      expect(await backup.touch(first)).toBe(true);
      expect(await readBack(backup, feed)).toEqual(essence(other));
      expect(await backup.write(newer, "other_content")).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toEqual(essence(newer));
    });

    test("of later contents that two relays write at once, one stays, and it is whole", async () => {
      await using first = await open();
      await using second = await open();
      const feed = newFeed();
      await first.write(await preparedSnapshot(feed, 10));
      const colors = ["red", "green", "blue", "yellow"];
      const contents = await Promise.all(colors.map((color) => preparedSnapshot(feed, 10, { color })));
      const outcomes = await Promise.all(
        contents.map((each, at) => (at % 2 === 0 ? first : second).write(each, "other_content")),
      );
      for (const outcome of outcomes) expect(outcome).toEqual({ kind: "written", replacedContent: true });
      const kept = await readBack(second, feed);
      expect(contents.map(essence)).toContainEqual(kept as ReturnType<typeof essence>);
      expect(await readBack(first, feed)).toEqual(kept);
    });

    test("a version that was found to be unusable counts as none", async () => {
      await using backup = await open();
      const feed = newFeed();
      const [unusable, good, older] = await Promise.all([
        preparedSnapshot(feed, 10, { color: "unusable" }),
        preparedSnapshot(feed, 10),
        preparedSnapshot(feed, 3),
      ]);
      expect(await backup.write(unusable, 8)).toEqual({ kind: "written" });
      expect(await backup.write(good, 9)).toEqual({ kind: "not_newer", lcut: 10 });
      expect(await backup.write(good, 10)).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toEqual(essence(good));
      expect(await backup.write(older, 10)).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toEqual(essence(older));
    });

    test("feeds of one key, and keys, are kept apart", async () => {
      await using backup = await open();
      const [v2, other] = [newFeed(), newFeed()];
      const feeds = [v2, { ...v2, version: "v1" }, { ...v2, format: "proto" }, other] as const;
      const snapshots = await Promise.all(feeds.map((feed, at) => preparedSnapshot(feed, 100 - at)));
      for (const snapshot of snapshots) expect(await backup.write(snapshot)).toEqual({ kind: "written" });
      await backup.remove(other);
      expect(await Promise.all(feeds.map((feed) => readBack(backup, feed)))).toEqual([
        ...snapshots.slice(0, 3).map(essence),
        undefined,
      ]);
    });

    test("what was removed is gone, and an older version may follow it", async () => {
      await using backup = await open();
      const feed = newFeed();
      const [first, older] = await Promise.all([preparedSnapshot(feed, 10), preparedSnapshot(feed, 9)]);
      await backup.write(first);
      expect(await backup.touch(first)).toBe(true);
      await backup.remove(feed);
      expect(await backup.read(feed, -1)).toEqual({ kind: "none" });
      expect(await backup.touch(first)).toBe(false);
      expect(await backup.write(older)).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toEqual(essence(older));
    });

    test("what is kept outlives the relay that wrote it", async () => {
      const snapshot = await preparedSnapshot(newFeed(), 10);
      {
        await using backup = await open();
        await backup.write(snapshot);
      }
      await using backup = await open();
      expect(await readBack(backup, snapshot.feed)).toEqual(essence(snapshot));
      expect(await backup.write(snapshot)).toEqual({ kind: "not_newer", lcut: 10 });
    });

    test("a closed backup rejects, and may be closed again", async () => {
      await using backup = await open();
      const snapshot = await preparedSnapshot(newFeed(), 10);
      await backup[Symbol.asyncDispose]();
      await expect(backup.read(snapshot.feed, -1)).rejects.toThrow();
      await expect(backup.write(snapshot)).rejects.toThrow();
      await expect(backup.touch(snapshot)).rejects.toThrow();
      await expect(backup.remove(snapshot.feed)).rejects.toThrow();
    });

    test("of versions that two relays write at once, in any order, the newest stays", async () => {
      await using first = await open();
      await using second = await open();
      const lcut = fc.integer({ min: 0, max: Date.now() });
      const writes = fc.array(fc.tuple(lcut, fc.boolean()), { minLength: 1, maxLength: 12 });
      await fc.assert(
        fc.asyncProperty(writes, async (writes) => {
          const feed = newFeed();
          const snapshots = await Promise.all(writes.map(([lcut]) => preparedSnapshot(feed, lcut)));
          const newest = snapshots.reduce((a, b) => (b.lcut > a.lcut ? b : a));
          const outcomes = await Promise.all(
            snapshots.map((snapshot, at) => (writes[at]?.[1] ? first : second).write(snapshot)),
          );
          const written = snapshots.filter((_, at) => outcomes[at]?.kind === "written");
          expect(written.filter(({ lcut }) => lcut === newest.lcut)).toHaveLength(1);
          expect(await readBack(first, feed)).toEqual(essence(newest));
          expect(await readBack(second, feed)).toEqual(essence(newest));
        }),
        { numRuns: 30 },
      );
    });

    testHistories(open);
  });
}
