import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

declare const self: Worker;

/**
 * Starts a Worker. It emits "close" when it runs no more code and its sockets are closed. Deno has no such event: the Worker
 * gets one end of a channel, which is closed with it.
 */
export function startWorker(entry: URL): Worker {
  const worker = new Worker(entry, { type: "module" });
  const { port1: held, port2: lifeline } = new MessageChannel();
  held.addEventListener("close", () => worker.dispatchEvent(new Event("close")));
  held.start();
  // Without this, an uncaught error of the Worker would be one of this thread as well.
  worker.addEventListener("error", (event) => event.preventDefault());
  worker.postMessage(lifeline, [lifeline as unknown as ArrayBuffer]);
  return worker;
}

/** What must not be collected as long as the Worker runs. */
const held: MessageEvent[] = [];

/** To be called first in each Worker. Takes the first message, which is the Worker's end of the channel. */
export function beginWorker(): void {
  const take = (event: MessageEvent) => {
    held.push(event);
    event.stopImmediatePropagation();
  };
  self.addEventListener("message", take, { once: true });
}

let collect: (() => void) | undefined;

/** Collects garbage at once. Does not block other threads. */
export function collectGarbage(): void {
  // V8 offers it with a flag alone, to contexts that are made afterwards.
  if (collect === undefined) setFlagsFromString("--expose-gc");
  collect ??= runInNewContext("gc") as () => void;
  collect();
}
