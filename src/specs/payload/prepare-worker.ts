import { handleCalls } from "../../platform/worker-calls.ts";
import { type Preparation, type PreparationRequest, prepare } from "./prepare.ts";

handleCalls<PreparationRequest, Preparation>(prepare, buffersOf);

/** Two codings may share one buffer. */
function buffersOf(result: Preparation): ArrayBuffer[] {
  if (result.kind !== "prepared") return [];
  const { bytes, compressed } = result.payload;
  return [...new Set([bytes.buffer, ...Object.values(compressed).map((body) => body.buffer)])];
}
