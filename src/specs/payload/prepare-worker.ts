import { handleCalls } from "../../platform/worker-calls.ts";
import { type Preparation, type PreparationRequest, prepare } from "./prepare.ts";

handleCalls<PreparationRequest, Preparation>(prepare, listBuffers);

/** Returns the buffers to transfer, each once: two codings may share a buffer. */
function listBuffers(result: Preparation): ArrayBuffer[] {
  if (result.kind !== "prepared") return [];
  const { bytes, compressed } = result.payload;
  return [...new Set([bytes.buffer, ...Object.values(compressed).map((body) => body.buffer)])];
}
