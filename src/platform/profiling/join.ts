import { ORDERS, type Order } from "./orders.ts";

/**
 * Makes this thread follow the orders of the profiler. Costs nothing until there is one: the first order loads the code that
 * takes profiles. Does not keep the thread alive.
 */
export function joinProfiling(thread: string): Disposable {
  let profiling: Promise<{ follow(order: Order): Promise<void> }> | undefined;
  const channel = new BroadcastChannel(ORDERS);
  channel.onmessage = ({ data }: { readonly data: Order }) => {
    profiling ??= import("./thread-profiler.ts").then(({ ThreadProfiler }) => new ThreadProfiler(thread));
    // A thread that fails to reply is left out of the profile, and named in it.
    profiling.then((profiler) => profiler.follow(data)).catch(() => {});
  };
  (channel as BroadcastChannel & { readonly unref?: () => void }).unref?.();
  return { [Symbol.dispose]: () => channel.close() };
}
