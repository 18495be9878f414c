import { answerCalls } from "../worker-calls.ts";
import { EventReader } from "./event-reader.ts";
import type { WorkerCall, WorkerReply } from "./event-workers.ts";
import { GarbageLimit } from "./garbage-limit.ts";
import { packRequest } from "./request-packing.ts";

const garbage = new GarbageLimit();
const reader = new EventReader(garbage);

function answer(call: WorkerCall): WorkerReply {
  switch (call.kind) {
    case "read":
      return reader.read(call.raw);
    case "remember":
      return { kind: "remembered", hasTurned: reader.remember(call.digests) };
    case "pack":
      return { kind: "packed", body: packRequest(call.contents, garbage) };
  }
}

function buffersOf(reply: WorkerReply): ArrayBuffer[] {
  if (reply.kind === "packed") return [reply.body.buffer];
  if (reply.kind !== "read") return [];
  const bodies = reply.chunks.map(({ body }) => body.buffer);
  return reply.digests === undefined ? bodies : [...bodies, reply.digests.buffer];
}

answerCalls<WorkerCall, WorkerReply>(answer, buffersOf);
