// Run on a small file system: <folder>. Puts until the disk is full, forwards, puts again, and prints the results.
import { ANYTHING, batchOf, eventGroup, largeEvent } from "../log-events/event-batches.ts";
import { drain, openSpool } from "./event-spools.ts";

const [folder = ""] = process.argv.slice(2);
await using opened = await openSpool(folder);
const { spool, events } = opened;

const batches = Array.from({ length: 200 }, (_, at) =>
  batchOf(eventGroup(at % 2 === 0 ? "a" : "b"), [largeEvent(20_000)], Date.now()),
);
const results: string[] = [];
for (const batch of batches) results.push(await spool.put(batch));
const kept = batches.filter((_, at) => results[at] === "queued");
const { depth } = spool;
const drained = [...(await drain(spool, { ...ANYTHING, maxBytes: 100_000 })).values()].flat();
const again = await spool.put(batchOf(eventGroup("c"), [largeEvent(20_000)], Date.now()));

console.log(
  JSON.stringify({
    full: results.filter((result) => result === "full").length,
    keptAll: depth.batches === kept.length,
    drainedOnce: drained.length === kept.length && new Set(drained).size === drained.length,
    again,
    left: spool.depth.batches,
    events: events.map(({ kind }) => kind),
  }),
);
