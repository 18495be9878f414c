import { collectGarbage } from "#runtime/threads.ts";
import type { Snapshot } from "../snapshot.ts";
import type { SpecStore } from "../store.ts";

/** Versions of this size together are collected. A collection for each small one would cost more than it frees. */
const MAX_REPLACED_BYTES = 4 * 1024 * 1024;

/** Delay of the collection, by when responses that still send the replaced version have ended. */
const FREE_AFTER_MS = 250;

/** Collections take at most about a twentieth of the time: with thousands of streams, one takes tens of milliseconds. */
const DELAY_PER_MS = 20;

/**
 * Frees the memory of versions that were replaced or removed, as far as this thread refers to it: each thread that holds the
 * versions has to call this for its own store. The garbage collector alone does so much later: it sees a small heap, but not the
 * buffers behind it. Returns a function that counts further bytes that are no longer referred to.
 */
export function freeReplacedVersions(store: Pick<SpecStore, "listen">): (bytes: number) => void {
  let replacedBytes = 0;
  let lastTookMs = 0;
  let isScheduled = false;
  const collect = () => {
    isScheduled = false;
    replacedBytes = 0;
    const startedAt = performance.now();
    collectGarbage();
    lastTookMs = performance.now() - startedAt;
  };
  const freed = (bytes: number) => {
    replacedBytes += bytes;
    if (isScheduled || replacedBytes < MAX_REPLACED_BYTES) return;
    isScheduled = true;
    setTimeout(collect, Math.max(FREE_AFTER_MS, DELAY_PER_MS * lastTookMs)).unref();
  };
  const count = ({ snapshot }: { readonly snapshot: Snapshot }) => freed(sumBytes(snapshot));
  // The version that a new one replaces is about as large.
  store.listen({ published: count, removed: count });
  return freed;
}

function sumBytes({ bytes, compressed, deltas = [], history }: Snapshot): number {
  const others = [...Object.values(compressed), ...deltas.map((delta) => delta.bytes)];
  return others.reduce((sum, { length }) => sum + length, bytes.length + (history?.length ?? 0));
}
