import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MessageChannel } from "node:worker_threads";
import type { HeapSize } from "../threads.ts";

declare const self: Worker & { close(): void };

/**
 * Starts a Worker. It emits "close" when it runs no more code and its sockets are closed. Deno has no such event: the Worker
 * gets one end of a channel, which is closed with it.
 */
export function startWorker(entry: URL): Worker {
  const worker = new Worker(entry, { type: "module" });
  const { port1: held, port2: lifeline } = new MessageChannel();
  held.addEventListener("message", ({ data }) =>
    worker.dispatchEvent(new ErrorEvent("error", { message: String(data) })),
  );
  held.addEventListener("close", () => worker.dispatchEvent(new Event("close")));
  held.start();
  // Without this, an uncaught error of the Worker would be one of this thread as well.
  worker.addEventListener("error", (event) => event.preventDefault());
  worker.postMessage(lifeline, [lifeline as unknown as ArrayBuffer]);
  return worker;
}

/** The Worker's end of the channel. */
let lifeline: MessagePort | undefined;

/** To be called first in each Worker. Takes the first message, which is the Worker's end of the channel. */
export function beginWorker(): void {
  const take = (event: MessageEvent<MessagePort>) => {
    lifeline = event.data;
    event.stopImmediatePropagation();
  };
  self.addEventListener("message", take, { once: true });
}

/**
 * Ends this Worker at an uncaught error, and emits "error" where it was started. Deno would print the error with its stack as well, in
 * between the lines of the log.
 */
export function endOnFault(): void {
  const end = (error: unknown) => {
    lifeline?.postMessage(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    self.close();
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}

let collect: (() => void) | undefined;

/** Collects garbage at once. Does not block other threads. */
export function collectGarbage(): void {
  // V8 offers it with a flag alone, to contexts that are made afterwards.
  if (collect === undefined) setFlagsFromString("--expose-gc");
  collect ??= runInNewContext("gc") as () => void;
  collect();
}

/** V8 does not count objects. An object has about this many bytes, on average. */
const TYPICAL_OBJECT_BYTES = 50;

/** Measures the heap of this thread. The number of objects is an estimate. */
export function measureHeap(): HeapSize {
  const { used_heap_size: bytes } = getHeapStatistics();
  return { objects: Math.ceil(bytes / TYPICAL_OBJECT_BYTES), bytes };
}
