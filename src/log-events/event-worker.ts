import { readlinkSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { GarbageLimit } from "../platform/garbage-limit.ts";
import { handleCalls } from "../platform/worker-calls.ts";
import { type ForwardedContents, packRequest } from "./chunk.ts";
import { BatchParser, type BodyReading, type RawBatch } from "./parse.ts";

/** A call of this Worker. */
export type EventCall =
  | { readonly kind: "read"; readonly raw: RawBatch }
  | { readonly kind: "remember"; readonly digests: Uint32Array<ArrayBuffer> }
  | { readonly kind: "pack"; readonly contents: ForwardedContents };

export type EventReply =
  | BodyReading
  | { readonly kind: "remembered"; readonly hasTurned: boolean }
  | { readonly kind: "packed"; readonly body: Uint8Array<ArrayBuffer> };

/**
 * Lets the main thread, which serves, go first if there are too few cores for both. Only Linux has priorities of single
 * threads, and /proc.
 */
function lowerThreadPriority(): void {
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").pop());
    setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // The priority is an optimization only.
  }
}

lowerThreadPriority();

const garbage = new GarbageLimit();
const parser = new BatchParser(garbage);

function handleCall(call: EventCall): EventReply {
  switch (call.kind) {
    case "read":
      return parser.parse(call.raw);
    case "remember":
      return { kind: "remembered", hasTurned: parser.remember(call.digests) };
    case "pack":
      return { kind: "packed", body: packRequest(call.contents, garbage) };
  }
}

/** Returns the buffers of a reply that are transferred to the main thread instead of copied. */
function findBuffers(reply: EventReply): ArrayBuffer[] {
  if (reply.kind === "packed") return [reply.body.buffer];
  if (reply.kind !== "read") return [];
  const bodies = reply.chunks.map(({ body }) => body.buffer);
  return reply.digests === undefined ? bodies : [...bodies, reply.digests.buffer];
}

handleCalls<EventCall, EventReply>(handleCall, findBuffers);
