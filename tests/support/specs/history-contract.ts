import { expect, test } from "bun:test";
import { randomBytes, randomUUID } from "node:crypto";
import fc from "fast-check";
import { toShared } from "../../../src/platform/shared-bytes.ts";
import { MAX_HISTORY_BYTES, type SpecBackup } from "../../../src/specs/backup.ts";
import type { Feed } from "../../../src/specs/feed.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { preparedSnapshot } from "./prepared-snapshots.ts";
import { feedOf } from "./snapshots.ts";

/** Returns a feed of a key that no other test uses. */
export const newProtoFeed = (): Feed => feedOf(`secret-${randomUUID()}`, "v2", "proto");

/** Returns a version with this history, which no backup looks into. */
export async function snapshotWith(
  feed: Feed,
  lcut: number,
  history: string | Uint8Array,
): Promise<Snapshot> {
  return { ...(await preparedSnapshot(feed, lcut)), history: toShared(Buffer.from(history)) };
}

/** Returns the history of a feed as text, and fails unless it is the same beside the version and alone. */
export async function readHistory(backup: SpecBackup, feed: Feed): Promise<string | undefined> {
  const read = await backup.read(feed, -1);
  if (read.kind !== "found") throw new Error(`no version: ${read.kind}`);
  const alone = await backup.readHistory(feed);
  expect(alone).toEqual(read.history);
  // Such bytes can be transferred to another thread, without other bytes of the same buffer.
  if (alone !== undefined) expect(alone.buffer.byteLength).toBe(alone.length);
  return alone && Buffer.from(alone).toString();
}

/** What the contract of a backup says of histories. `open` as in `describeBackup`. */
export function testHistories(open: () => Promise<SpecBackup>): void {
  test("there is no history of a feed that was never written, or was written without one", async () => {
    await using backup = await open();
    const feed = newProtoFeed();
    expect(await backup.readHistory(feed)).toBeUndefined();
    await backup.write(await preparedSnapshot(feed, 1));
    expect(await readHistory(backup, feed)).toBeUndefined();
    const json = feedOf(feed.sdkKey);
    await backup.write(await preparedSnapshot(json, 1));
    expect(await readHistory(backup, json)).toBeUndefined();
  });

  test("a history reads back with its version, outlives the relay, and goes with the feed", async () => {
    const [feed, other] = [newProtoFeed(), newProtoFeed()];
    {
      await using backup = await open();
      await backup.write(await snapshotWith(feed, 1, "the history of 1"));
      await backup.write(await snapshotWith(other, 1, "another feed's"));
      expect(await readHistory(backup, feed)).toBe("the history of 1");
    }
    await using backup = await open();
    expect(await readHistory(backup, feed)).toBe("the history of 1");
    await backup.remove(feed);
    expect(await backup.readHistory(feed)).toBeUndefined();
    expect(await readHistory(backup, other)).toBe("another feed's");
    await backup.write(await preparedSnapshot(feed, 1));
    expect(await readHistory(backup, feed)).toBeUndefined();
  });

  test("a history is replaced with its version, and only then", async () => {
    await using backup = await open();
    const feed = newProtoFeed();
    await backup.write(await snapshotWith(feed, 5, "of 5"));
    await backup.write(await snapshotWith(feed, 4, "of 4"));
    await backup.write(await snapshotWith(feed, 5, "of 5, too"));
    await backup.touch(await snapshotWith(feed, 5, "touched"));
    expect(await readHistory(backup, feed)).toBe("of 5");
    await backup.write(await snapshotWith(feed, 6, "of 6"));
    expect(await readHistory(backup, feed)).toBe("of 6");
    await backup.write(await snapshotWith(feed, 3, "instead of 6"), 6);
    expect(await readHistory(backup, feed)).toBe("instead of 6");
    await backup.write(await preparedSnapshot(feed, 7));
    expect(await readHistory(backup, feed)).toBeUndefined();
  });

  test("a history of 8 MiB is kept byte by byte; a longer one is left out", async () => {
    await using backup = await open();
    const feed = newProtoFeed();
    const bytes = randomBytes(MAX_HISTORY_BYTES + 1);
    await backup.write(await snapshotWith(feed, 1, bytes.subarray(1)));
    const read = await backup.read(feed, -1);
    expect(read.kind === "found" && bytes.subarray(1).equals(read.history ?? Buffer.of())).toBe(true);
    expect(await backup.write(await snapshotWith(feed, 2, bytes))).toEqual({ kind: "written" });
    expect(await readHistory(backup, feed)).toBeUndefined();
    await backup.remove(feed);
  });

  test("a closed backup rejects", async () => {
    await using backup = await open();
    await backup[Symbol.asyncDispose]();
    await expect(backup.readHistory(newProtoFeed())).rejects.toThrow();
  });

  test("of versions that two relays write at once, the history of the newest stays", async () => {
    await using first = await open();
    await using second = await open();
    const writes = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.boolean()), {
      minLength: 1,
      maxLength: 10,
    });
    await fc.assert(
      fc.asyncProperty(writes, async (writes) => {
        const feed = newProtoFeed();
        const lcuts = [...new Set(writes.map(([lcut]) => lcut))];
        const snapshots = new Map(
          await Promise.all(
            lcuts.map(async (lcut) => [lcut, await snapshotWith(feed, lcut, `of ${lcut}`)] as const),
          ),
        );
        await Promise.all(
          writes.map(([lcut, isFirst]) => (isFirst ? first : second).write(snapshots.get(lcut) as Snapshot)),
        );
        expect(await readHistory(first, feed)).toBe(`of ${Math.max(...lcuts)}`);
      }),
      { numRuns: 15 },
    );
  });
}
