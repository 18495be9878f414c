import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { KeptVersions } from "../../src/specs/versions/kept-versions.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const a = feedOf("secret-a");
const b = feedOf("secret-b");

function start({ perFeed = 3, maxBytes = 1_000_000 } = {}) {
  const store = new SpecStore({ maxKeys: 10 });
  let freedBytes = 0;
  const kept = new KeptVersions({
    store,
    perFeed,
    maxBytes,
    freed: (bytes) => {
      freedBytes += bytes;
    },
  });
  const publish = (snapshot: Snapshot) => store.publish(snapshot, { replacesContent: true });
  const lcuts = (feed = a) => kept.list(feed).map(({ lcut }) => lcut);
  return { store, kept, publish, lcuts, freedBytes: () => freedBytes };
}

describe("the history of versions", () => {
  test("has the served version and a number of those before it", () => {
    const { publish, lcuts, kept } = start();
    for (const lcut of [1, 2, 3, 4, 5, 6]) publish(snapshotOf(a, lcut));
    expect(lcuts()).toEqual([3, 4, 5, 6]);
    expect(kept.served(a)?.lcut).toBe(6);
    expect(kept.previous(a)?.lcut).toBe(5);
    expect(kept.heldBack(a)).toEqual([]);
  });

  test("turned off, has the served version alone, and the newest one while the key is pinned", () => {
    const { publish, lcuts, kept } = start({ perFeed: 0 });
    for (const lcut of [1, 2, 3]) publish(snapshotOf(a, lcut));
    expect(lcuts()).toEqual([3]);
    for (const lcut of [4, 5]) kept.holdBack(a, snapshotOf(a, lcut), lcut);
    expect(lcuts()).toEqual([3, 5]);
    expect(kept.heldBack(a).map(({ lcut }) => lcut)).toEqual([5]);
  });

  test("keeps a version that is published again under its own name", () => {
    const { publish, lcuts, kept } = start();
    for (const lcut of [1, 2]) publish(snapshotOf(a, lcut, `c${lcut}`));
    publish({ ...snapshotOf(a, 3, "c1"), original: { lcut: 1, checksum: "c1" } });
    expect(lcuts()).toEqual([1, 2]);
    expect(kept.served(a)).toMatchObject({ lcut: 1, servedLcut: 3 });
    expect(kept.heldBack(a).map(({ lcut }) => lcut)).toEqual([2]);
    expect(kept.previous(a)).toBeUndefined();
  });

  test("has contents of one lcut as they came", () => {
    const { publish, kept } = start();
    for (const checksum of ["one", "two"]) publish(snapshotOf(a, 1, checksum));
    expect(kept.list(a).map(({ checksum }) => checksum)).toEqual(["one", "two"]);
    expect(kept.find(a, { lcut: 1 })?.checksum).toBe("two");
    publish(snapshotOf(a, 1, "one"));
    expect(kept.served(a)?.checksum).toBe("one");
    expect(kept.heldBack(a)).toEqual([]);
  });

  test("counts the bytes of what is not served, and drops what came first beyond the limit, of any feed", () => {
    const size = snapshotOf(a, 1).bytes.length;
    const { publish, lcuts, kept, freedBytes } = start({ maxBytes: 2 * size });
    publish(snapshotOf(a, 1));
    expect(kept.bytes).toBe(0);
    publish(snapshotOf(b, 2));
    publish(snapshotOf(a, 3));
    publish(snapshotOf(b, 4));
    expect(kept.bytes).toBe(2 * size);
    publish(snapshotOf(b, 5));
    expect(kept.bytes).toBe(2 * size);
    expect([lcuts(a), lcuts(b)]).toEqual([[3], [2, 4, 5]]);
    expect(freedBytes()).toBe(size);
  });

  test("keeps the version that was just replaced, however long it had been served", () => {
    const size = snapshotOf(a, 1).bytes.length;
    const { publish, lcuts } = start({ maxBytes: 2 * size });
    publish(snapshotOf(a, 1));
    for (const lcut of [2, 3, 4]) publish(snapshotOf(b, lcut));
    publish(snapshotOf(a, 5));
    expect([lcuts(a), lcuts(b)]).toEqual([
      [1, 5],
      [3, 4],
    ]);
  });

  test("ends with its feed", () => {
    const { store, publish, lcuts, kept } = start();
    for (const lcut of [1, 2]) publish(snapshotOf(a, lcut));
    store.removeKey(a.sdkKey, "evicted");
    expect([lcuts(), kept.bytes]).toEqual([[], 0]);
  });

  test("needs no memory for the served version: it has the snapshot's own bytes, in its smallest coding", () => {
    const { publish, kept } = start();
    const compressed = {
      gzip: new Uint8Array(new SharedArrayBuffer(9)),
      zstd: new Uint8Array(new SharedArrayBuffer(7)),
    };
    publish({ ...snapshotOf(a, 1), compressed });
    expect(kept.served(a)?.body.buffer).toBe(compressed.zstd.buffer);
    expect(kept.served(a)?.contentEncoding).toBe("zstd");
  });
});
