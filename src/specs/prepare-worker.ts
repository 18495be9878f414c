import { answerCalls } from "../worker-calls.ts";
import type { RawPayload } from "./payload.ts";
import { type Preparation, prepare } from "./prepare.ts";

answerCalls<RawPayload, Preparation>(prepare, buffersOf);

/** Two codings may share one buffer. */
function buffersOf(result: Preparation): ArrayBuffer[] {
  if (result.kind !== "prepared") return [];
  const { bytes, compressed } = result.payload;
  return [...new Set([bytes.buffer, ...Object.values(compressed).map((body) => body.buffer)])];
}
