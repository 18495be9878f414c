/** A thread that follows the orders of the profiler. A message with a number makes its event loop stand still for that time, in ms. */
import { joinProfiling } from "../../../src/platform/profiling/join.ts";

declare const self: Worker;

joinProfiling("joined");
self.onmessage = ({ data: ms }: MessageEvent<number>) => {
  self.postMessage("busy");
  const end = performance.now() + ms;
  while (performance.now() < end);
};
self.postMessage("ready");
