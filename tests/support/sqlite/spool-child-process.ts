// Run by SpoolChild: <folder> put|take <number of the first batch>
import { writeSync } from "node:fs";
import { ANYTHING, batchOf, eventGroup } from "../log-events/event-batches.ts";
import { openSpool } from "./event-spools.ts";
import { GROUPS, TAKEN_EVENTS } from "./spool-child.ts";

const [folder = "", role = "", first = ""] = process.argv.slice(2);
const { spool, events } = await openSpool(folder);
const groups = Array.from({ length: GROUPS }, (_, at) => eventGroup(`${at}`));

/** Writes synchronously, so that nothing is lost in a buffer after a SIGKILL. */
const say = (words: readonly unknown[]) => writeSync(1, `${words.join(" ")}\n`);

/** Puts a batch of two events. */
async function put(number: number): Promise<void> {
  const group = groups[number % GROUPS] ?? eventGroup("none");
  const result = await spool.put(batchOf(group, [`${number}.0`, `${number}.1`], Date.now()));
  if (result !== "queued") throw new Error(`${number}: ${result}`);
  say([number]);
}

/** Prints events before it acknowledges them: printed events may be gone after a kill, others must not. */
async function forward(): Promise<void> {
  for (;;) {
    const claimed = await spool.claim({ ...ANYTHING, maxEvents: TAKEN_EVENTS });
    if (claimed === undefined) return;
    say(claimed.events);
    await spool.ack(claimed);
  }
}

say(["ready"]);
if (role === "take") await Promise.all(groups.map(forward));
for (let number = Number(first); role === "put"; number += 40) {
  await Promise.all(Array.from({ length: 40 }, (_, at) => put(number + at)));
}
if (events.length > 0) throw new Error(JSON.stringify(events));
await spool[Symbol.asyncDispose]();
