import { fullGC, heapStats } from "bun:jsc";
import type { HeapSize } from "../threads.ts";

/**
 * Starts a Worker. It emits "close" when it runs no more code and its sockets are closed. The caller writes
 * `new URL("./x-worker.ts", import.meta.url)`, by which the build finds it.
 */
export function startWorker(entry: URL): Worker {
  return new Worker(entry);
}

/** To be called first in each Worker. */
export function beginWorker(): void {}

/** Ends this Worker at an uncaught error, and emits "error" where it was started. Bun does that by itself. */
export function endOnFault(): void {}

/**
 * Collects garbage at once. Takes about 1 ms in a Worker, whose heap is small, and does not block other threads. Unlike
 * `Bun.gc(true)` it keeps compiled code.
 */
export function collectGarbage(): void {
  fullGC();
}

/** Measures the heap of this thread. Takes some milliseconds. */
export function measureHeap(): HeapSize {
  const { objectCount, heapSize } = heapStats();
  return { objects: objectCount, bytes: heapSize };
}
