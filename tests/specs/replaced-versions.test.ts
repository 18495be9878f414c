import { expect, test } from "bun:test";
import { frameSpec } from "../../src/specs/payload/grpc-frame.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { freeReplacedVersions } from "../../src/specs/versions/replaced-versions.ts";
import { eventually } from "../support/common/wait.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const TEXT = new Uint8Array(5 * 1024 * 1024);
const feeds = Array.from({ length: 10 }, (_, at) => feedOf(`secret-freed-${at}`));

const versionOf = (feed: Snapshot["feed"], lcut: number): Snapshot => ({
  ...snapshotOf(feed, lcut),
  ...frameSpec(TEXT, lcut),
});

/** Publishes a version of each feed, and discards it. Returns weak references to their buffers. */
function discardAll(
  store: SpecStore,
  discard: (feed: Snapshot["feed"]) => void,
): WeakRef<SharedArrayBuffer>[] {
  return feeds.map((feed) => {
    const version = versionOf(feed, 1);
    store.publish(version);
    discard(feed);
    return new WeakRef(version.bytes.buffer);
  });
}

test("the memory of versions that were replaced or removed is freed", async () => {
  const store = new SpecStore({ maxKeys: feeds.length });
  freeReplacedVersions(store);
  const discarded = [
    ...discardAll(store, (feed) => store.remove(feed, "evicted")),
    ...discardAll(store, (feed) => store.publish(versionOf(feed, 2))),
  ];
  // The collector takes some words on the stack for references.
  const left = () => discarded.filter((each) => each.deref() !== undefined).length;
  await eventually(() => expect(left()).toBeLessThan(5));
  expect([...store.held()].map(({ snapshot }) => snapshot.lcut)).toEqual(feeds.map(() => 2));
});
