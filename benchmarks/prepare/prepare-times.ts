import { brotliCompressSync, constants } from "node:zlib";
import { prepare } from "../../src/specs/payload/prepare.ts";
import type { Bench } from "../bench.ts";
import type { Project } from "../project.ts";

/** Times to check and compress a payload that arrived in one encoding. */
export interface PrepareTime {
  readonly contentEncoding: string;
  readonly tookMs: readonly number[];
}

const BR_QUALITY = 5;

/** Measures `prepare` in this process, without other load. The relay's Worker runs the same function. */
export async function measurePrepare(bench: Bench, project: Project, rounds: number): Promise<PrepareTime[]> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: BR_QUALITY };
  const bodies = new Map([
    ["identity", project.json],
    ["gzip", project.gzip],
    ["br", new Uint8Array(brotliCompressSync(project.json, { params }))],
  ]);
  const times: PrepareTime[] = [];
  for (const [contentEncoding, body] of bodies) {
    const tookMs: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      bench.signal.throwIfAborted();
      // It is freed.
      const copy = body.slice();
      const startedAt = performance.now();
      const result = await prepare({
        raw: { body: copy, contentEncoding, format: "json", headerLcut: undefined, sdkKeyHash: "0" },
        maxBytes: Number.POSITIVE_INFINITY,
      });
      if (result.kind !== "prepared") throw new Error(`the payload was ${result.kind}`);
      // The first round is a warm-up.
      if (round > 0) tookMs.push(performance.now() - startedAt);
    }
    times.push({ contentEncoding, tookMs });
  }
  return times;
}
