import { ORDERS, type ProfilingOrder } from "./orders.ts";

let hasJoined = false;

/**
 * Makes this thread follow the orders of the profiler until it ends. Costs nothing until there is one: the first order loads the code
 * that takes profiles. Does not keep the thread alive. Calling it again changes nothing.
 */
export function joinProfiling(thread: string): void {
  if (hasJoined) return;
  hasJoined = true;
  let profiling: Promise<{ follow(order: ProfilingOrder): Promise<void> }> | undefined;
  const channel = new BroadcastChannel(ORDERS);
  channel.onmessage = ({ data }: { readonly data: ProfilingOrder }) => {
    profiling ??= import("./thread-profiler.ts").then(({ ThreadProfiler }) => new ThreadProfiler(thread));
    // A thread that fails to reply is left out of the profile, and named in it.
    profiling.then((profiler) => profiler.follow(data)).catch(() => {});
  };
  (channel as BroadcastChannel & { readonly unref?: () => void }).unref?.();
}
