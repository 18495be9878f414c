import type { RawPayload } from "./payload.ts";
import { type Preparation, prepare } from "./prepare.ts";

declare const self: Worker;

export interface PrepareJob {
  readonly id: number;
  readonly raw: RawPayload;
}

export interface PrepareResult {
  readonly id: number;
  readonly result: Preparation | { readonly kind: "crashed"; readonly message: string };
}

self.onmessage = async (event: MessageEvent<PrepareJob>) => {
  const { id, raw } = event.data;
  try {
    const result = await prepare(raw);
    self.postMessage({ id, result } satisfies PrepareResult, buffersOf(result));
  } catch (error) {
    self.postMessage({ id, result: { kind: "crashed", message: String(error) } } satisfies PrepareResult);
  }
};

/** Moved, not copied, to the other thread. Two codings may share one buffer. */
function buffersOf(result: Preparation): ArrayBuffer[] {
  if (result.kind !== "prepared") return [];
  const { bytes, compressed } = result.payload;
  return [...new Set([bytes.buffer, ...Object.values(compressed).map((body) => body.buffer)])];
}
