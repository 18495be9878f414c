import { readlinkSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { GarbageLimit } from "../platform/garbage-limit.ts";
import { handleCalls } from "../platform/worker-calls.ts";
import { type EventCall, type EventReply, packRequest } from "./calls.ts";
import { EventReader } from "./parse.ts";

/** Serving goes first if there are too few cores for both. Systems without priorities of threads have no /proc either. */
function lowerPriority(): void {
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").pop());
    setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It works all the same.
  }
}

lowerPriority();

const garbage = new GarbageLimit();
const reader = new EventReader(garbage);

function answer(call: EventCall): EventReply {
  switch (call.kind) {
    case "read":
      return reader.read(call.raw);
    case "remember":
      return { kind: "remembered", hasTurned: reader.remember(call.digests) };
    case "pack":
      return { kind: "packed", body: packRequest(call.contents, garbage) };
  }
}

function buffersOf(reply: EventReply): ArrayBuffer[] {
  if (reply.kind === "packed") return [reply.body.buffer];
  if (reply.kind !== "read") return [];
  const bodies = reply.chunks.map(({ body }) => body.buffer);
  return reply.digests === undefined ? bodies : [...bodies, reply.digests.buffer];
}

handleCalls<EventCall, EventReply>(answer, buffersOf);
