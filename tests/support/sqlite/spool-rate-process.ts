// Run by spool-rate.test.ts: <folder> <batches> <bytes of an event> <limit in bytes>. Prints the measurements.
import { ANYTHING, batchOf, eventGroup, largeEvent } from "../log-events/event-batches.ts";
import { openSpool } from "./event-spools.ts";

const [folder = "", ...figures] = process.argv.slice(2);
const [batches = 0, eventBytes = 0, maxBytes = 0] = figures.map(Number);
const groups = Array.from({ length: 1_000 }, (_, at) => eventGroup(`${at}`));

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

const { spool } = await openSpool(folder, { maxBytes });
let next = 0;
const put = async () => {
  while (next < batches) {
    const group = groups[next++ % groups.length] ?? eventGroup("none");
    // Three quarters of it in base64.
    await spool.put(batchOf(group, [largeEvent((eventBytes * 3) / 4)], Date.now()));
  }
};
const putters = (count: number) => Promise.all(Array.from({ length: count }, put));

// The memory that the process needs without events.
next = Math.max(0, batches - 200);
await putters(50);
next = 200;
const before = process.memoryUsage.rss();
const putMs = await timed(() => putters(50));
const grownBytes = process.memoryUsage.rss() - before;
const depth = spool.depth.batches;
await spool[Symbol.asyncDispose]();

let again: Awaited<ReturnType<typeof openSpool>> | undefined;
const reopenMs = await timed(async () => {
  again = await openSpool(folder, { maxBytes });
});
const takeMs = await timed(async () => await again?.spool.claim(ANYTHING));
await again?.[Symbol.asyncDispose]();

console.log(
  JSON.stringify({ perSecond: ((batches - 200) / putMs) * 1_000, grownBytes, depth, reopenMs, takeMs }),
);
