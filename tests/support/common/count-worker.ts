import { SharedCount } from "../../../src/platform/shared-count.ts";

declare const self: Worker;

export interface CountTask {
  readonly memory: SharedArrayBuffer;
  readonly slot: number;
  readonly max: number;
  /** What to add first, and keep. */
  readonly kept: number;
  /** How often to add 1 and subtract it. Infinity: until the Worker is terminated. */
  readonly rounds: number;
  /** One Int32 with what all Workers hold at the moment; they hold it for less time than the count says. */
  readonly witness: SharedArrayBuffer;
}

export type CountReport =
  /** What is kept is counted. */
  | { readonly kind: "started" }
  | { readonly kind: "done"; readonly highest: number; readonly refused: number };

const report = (message: CountReport) => self.postMessage(message);

self.onmessage = ({ data }: MessageEvent<CountTask>) => {
  const { max, kept, rounds } = data;
  const count = new SharedCount(data.memory, data.slot);
  const witness = new Int32Array(data.witness);
  count.tryAdd(kept, max);
  report({ kind: "started" });
  let highest = 0;
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    if (count.tryAdd(1, max)) {
      highest = Math.max(highest, Atomics.add(witness, 0, 1) + 1);
      Atomics.sub(witness, 0, 1);
      count.subtract(1);
    } else {
      refused++;
    }
  }
  report({ kind: "done", highest, refused });
};
