// Keeps an event spool open that holds one event, until it is killed: <folder>. Prints "put".
import { eventBatch, eventGroup } from "../log-events/event-batches.ts";
import { openSpool } from "./event-spools.ts";

const [folder = ""] = process.argv.slice(2);
await using opened = await openSpool(folder);
console.log(await opened.spool.put(eventBatch(eventGroup("first"), ["of the first"], Date.now())));
await new Promise(() => setInterval(() => {}, 60_000));
