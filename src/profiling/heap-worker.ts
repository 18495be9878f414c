import { collectGarbage } from "#runtime/threads.ts";
import { broadcast, type HeapReply } from "../platform/profiling/orders.ts";
import type { StackNode } from "../platform/profiling/stacks.ts";
import { handleCalls } from "../platform/worker-calls.ts";
import { summarizeHeap } from "./heap-snapshot.ts";

/** Asks for the heap of one thread. The snapshot, of tens of megabytes, comes straight to this Worker. */
export interface HeapCall {
  /** {@link Member.member} */
  readonly member: string;
  readonly maxObjects: number | undefined;
  /** How long to wait for the snapshot. */
  readonly limitMs: number;
}

/** Undefined if the thread does not reply in time. */
type HeapSum = readonly StackNode[] | undefined;

handleCalls<HeapCall, HeapSum>(async ({ member, maxObjects, limitMs }) => {
  // The snapshot of the thread before, tens of megabytes.
  collectGarbage();
  const replyTo = `profiling-${crypto.randomUUID()}`;
  const channel = new BroadcastChannel(replyTo);
  const replied = Promise.withResolvers<HeapReply | undefined>();
  channel.onmessage = ({ data }: { readonly data: HeapReply }) => replied.resolve(data);
  const timer = setTimeout(() => replied.resolve(undefined), limitMs);
  try {
    broadcast({ kind: "snapshot_heap", member, maxObjects, replyTo });
    const reply = await replied.promise;
    return reply && toNodes(reply);
  } finally {
    clearTimeout(timer);
    channel.close();
  }
});

function toNodes(reply: HeapReply): readonly StackNode[] {
  if (reply.kind === "snapshot") return summarizeHeap(Buffer.from(reply.json).toString());
  const frame = { name: "(not examined: too many objects)", file: "", line: 0, column: 0 };
  return [{ frame, parent: -1, count: reply.objects, value: reply.bytes }];
}
