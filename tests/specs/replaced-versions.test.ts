import { expect, test } from "bun:test";
import type { Feed } from "../../src/specs/feed.ts";
import { frameSpec } from "../../src/specs/payload/grpc-frame.ts";
import { freeReplacedVersions } from "../../src/specs/replaced-versions.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { eventually } from "../support/common/wait.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const MEBIBYTE = 1024 * 1024;

const versionOf = (feed: Feed, lcut: number, bytes: number): Snapshot => ({
  ...snapshotOf(feed, lcut),
  ...frameSpec(new Uint8Array(bytes), lcut),
});

/** Publishes two versions of each feed. Returns weak references to the buffers of the first ones. */
function replaceAll(store: SpecStore, feeds: readonly Feed[], bytes: number): WeakRef<SharedArrayBuffer>[] {
  const replaced = feeds.map((feed) => {
    const first = versionOf(feed, 1, bytes);
    store.publish(first);
    return new WeakRef(first.bytes.buffer);
  });
  for (const feed of feeds) store.publish(versionOf(feed, 2, bytes));
  return replaced;
}

test.each([
  ["large", 10, 5 * MEBIBYTE],
  ["small", 50, 100_000],
])("%s versions that were replaced are freed", async (_, count, bytes) => {
  const feeds = Array.from({ length: count }, (_unused, at) => feedOf(`secret-freed-${at}`));
  const store = new SpecStore({ maxKeys: count });
  freeReplacedVersions(store);
  const replaced = replaceAll(store, feeds, bytes);
  // The collector takes some words on the stack for references.
  const left = () => replaced.filter((each) => each.deref() !== undefined).length;
  await eventually(() => expect(left()).toBeLessThan(count / 3));
  expect(store.keyCount).toBe(count);
});
