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
/** Marks divide the second half of the puts: the last ones, which must not be slower, on a machine that is not busy all the time. */
const MARKS = 10;
const marks: number[] = [];
const putsPerMark = Math.floor(batches / 2 / MARKS);
let next = 0;
const put = async () => {
  while (next < batches) {
    if (next >= batches / 2 && next % putsPerMark === 0) marks.push(performance.now());
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
marks.length = 0;
await putters(50);
const grownBytes = process.memoryUsage.rss() - before;
const depth = spool.depth.batches;
await spool[Symbol.asyncDispose]();

let again: Awaited<ReturnType<typeof openSpool>> | undefined;
const reopenMs = await timed(async () => {
  again = await openSpool(folder, { maxBytes });
});
const takesMs: number[] = [];
for (let take = 0; take < 5; take++)
  takesMs.push(await timed(async () => await again?.spool.claim(ANYTHING)));
await again?.[Symbol.asyncDispose]();

const betweenMarksMs = marks.slice(1).map((mark, at) => mark - (marks[at] ?? 0));
const perSecond = (putsPerMark / Math.min(...betweenMarksMs)) * 1_000;
console.log(JSON.stringify({ perSecond, grownBytes, depth, reopenMs, takeMs: Math.min(...takesMs) }));
