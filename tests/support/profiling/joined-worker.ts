/**
 * A thread that follows the orders of the profiler. A message makes it stand still, as a thread that computes does: at once, or when the
 * next order of a kind comes, before that is followed.
 */
import { joinProfiling } from "../../../src/platform/profiling/join.ts";
import { ORDERS, type ProfilingOrder } from "../../../src/platform/profiling/orders.ts";

declare const self: Worker;

/** The message to a thread. `flag` is 0 at first; the thread writes 1 when it stands still, and runs again when it is 2. */
export interface StandStill {
  readonly at: "now" | ProfilingOrder["kind"];
  readonly flag: Int32Array<SharedArrayBuffer>;
}

/** From then on the thread counts in `beats[slot]`. */
export interface Beat {
  readonly beats: Int32Array<SharedArrayBuffer>;
  readonly slot: number;
}

let awaited: StandStill | undefined;

function standStill({ flag }: StandStill): void {
  awaited = undefined;
  // A release may have come before.
  Atomics.compareExchange(flag, 0, 0, 1);
  while (Atomics.load(flag, 0) !== 2) Atomics.wait(flag, 0, 1);
}

// It is opened first, so that it gets each order before the profiler of the thread does.
const orders = new BroadcastChannel(ORDERS);
orders.onmessage = ({ data: { kind } }: { readonly data: ProfilingOrder }) => {
  if (awaited?.at === kind) standStill(awaited);
};
joinProfiling("joined");
self.onmessage = ({ data }: MessageEvent<StandStill | Beat>) => {
  if ("beats" in data) {
    setInterval(() => Atomics.add(data.beats, data.slot, 1), 50);
    return;
  }
  self.postMessage("received");
  if (data.at === "now") standStill(data);
  else awaited = data;
};
self.postMessage("ready");
