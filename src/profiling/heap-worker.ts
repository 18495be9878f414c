import { collectGarbage } from "#runtime/threads.ts";
import { systemClock } from "../platform/clock.ts";
import { broadcast, type HeapReply } from "../platform/profiling/orders.ts";
import type { StackNode } from "../platform/profiling/stacks.ts";
import { handleCalls } from "../platform/worker-calls.ts";
import { summarizeHeap } from "./heap-snapshot.ts";
import { Replies } from "./replies.ts";

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
  using replies = new Replies<HeapReply>();
  broadcast({ kind: "snapshot_heap", member, maxObjects, replyTo: replies.name });
  await replies.collect(() => replies.received.length > 0, limitMs, { clock: systemClock, signal: NEVER });
  const [reply] = replies.received;
  return reply && toNodes(reply);
});

/** The one who waits ends this Worker instead. */
const NEVER = new AbortController().signal;

function toNodes(reply: HeapReply): readonly StackNode[] {
  if (reply.kind === "snapshot") return summarizeHeap(Buffer.from(reply.json).toString());
  const frame = { name: "(not examined: too many objects)", file: "", line: 0, column: 0 };
  return [{ frame, parent: -1, count: reply.objects, value: reply.bytes }];
}
