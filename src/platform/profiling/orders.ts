import type { ThreadProfile } from "./stacks.ts";

/** The BroadcastChannel that every thread of the process listens on. */
export const ORDERS = "profiling";

/**
 * JavaScriptCore's sampler wakes up for ever once it was started, also while there is no profile, at the interval of the last
 * one. So the last one that each thread takes is empty and has this interval. The next one begins by as much later.
 */
export const RESTING_INTERVAL_US = 500_000;

/** What a thread is asked to do. `replyTo` names a BroadcastChannel that only the asker listens on. */
export type ProfilingOrder =
  /** Say who is there. */
  | { readonly kind: "roll_call"; readonly replyTo: string }
  /** A second one drops what was sampled since the first. */
  | { readonly kind: "start_cpu"; readonly intervalUs: number }
  /** Without `replyTo`, what was sampled is thrown away. */
  | { readonly kind: "stop_cpu"; readonly replyTo?: string }
  /** For one thread only. */
  | {
      readonly kind: "snapshot_heap";
      readonly member: string;
      readonly maxObjects: number | undefined;
      readonly replyTo: string;
    };

/** A thread as it introduces itself. */
export interface Member {
  /** Unique in the process, unlike the name: a thread and its replacement have the same. */
  readonly member: string;
  readonly thread: string;
}

export type CpuReply = Member & { readonly profile: ThreadProfile };

export type HeapReply =
  /** A heap snapshot in the format of V8, as JSON in UTF-8. */
  | { readonly kind: "snapshot"; readonly json: SharedArrayBuffer }
  | { readonly kind: "not_examined"; readonly objects: number; readonly bytes: number };

/** Sends an order to all threads, this one included if it has joined. */
export function broadcast(order: ProfilingOrder): void {
  const channel = new BroadcastChannel(ORDERS);
  channel.postMessage(order);
  channel.close();
}

/** Sends a reply to the thread that asked. */
export function reply(to: string, message: Member | CpuReply | HeapReply): void {
  const channel = new BroadcastChannel(to);
  channel.postMessage(message);
  channel.close();
}
