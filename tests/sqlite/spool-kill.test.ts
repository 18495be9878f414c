import { afterAll, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ANYTHING, batchOf, eventGroup } from "../support/log-events/event-batches.ts";
import { drain, openSpool } from "../support/sqlite/event-spools.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { GROUPS, SpoolChild, TAKEN_EVENTS } from "../support/sqlite/spool-child.ts";

afterAll(deleteFolders);

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const eventsOf = (batch: number) => [`${batch}.0`, `${batch}.1`];
const batchOfEvent = (event: string) => Number(event.split(".")[0]);

test("kill -9 while batches are put loses no acknowledged batch, and keeps none in part or twice", async () => {
  const folder = newFolder();
  const acknowledged = new Set<number>();
  let first = 0;
  let interrupted = 0;
  for (let round = 0; round < 8; round++) {
    const child = new SpoolChild(folder, "put", first);
    await child.says(40 + Math.floor(Math.random() * 2_000));
    await sleep(Math.random() * 5);
    if (await child.kill()) interrupted++;
    for (const line of child.said) acknowledged.add(Number(line));
    first = Math.max(...acknowledged) + 1_000;
  }
  await using opened = await openSpool(folder);
  const { spool, events } = opened;
  const { depth } = spool;
  expect(depth.batches * 2).toBe(depth.events);
  const drained = await drain(spool);
  const kept = [...drained.values()].flat();
  for (const ofGroup of drained.values()) {
    const batches = ofGroup.filter((event) => event.endsWith(".0")).map(batchOfEvent);
    expect(ofGroup).toEqual(batches.flatMap(eventsOf));
    expect(batches).toEqual(batches.toSorted((x, y) => x - y));
    expect(new Set(batches.map((batch) => batch % GROUPS)).size).toBe(1);
  }
  expect(new Set(kept).size).toBe(kept.length);
  expect(new Set(kept.map(batchOfEvent)).isSupersetOf(acknowledged)).toBe(true);
  // Committed, but killed before it could report that.
  const unsaid = kept.length / 2 - acknowledged.size;
  console.log(`${interrupted} kills: ${acknowledged.size} batches acknowledged, all there; ${unsaid} more`);
  expect(unsaid).toBeLessThanOrEqual(8 * 40);
  expect(interrupted).toBe(8);
  expect(events).toEqual([]);
}, 60_000);

test("kill -9 while batches are forwarded repeats at most the claimed events, and loses none", async () => {
  const folder = newFolder();
  const count = 4_000;
  {
    await using opened = await openSpool(folder);
    const { spool } = opened;
    const put = (at: number) => spool.put(batchOf(eventGroup(`${at % GROUPS}`), eventsOf(at), Date.now()));
    await Promise.all(numbers(count).map(put));
  }
  const times = new Map<string, number>();
  let [kills, repeated] = [0, 0];
  for (let round = 0; round < 8; round++) {
    const child = new SpoolChild(folder, "take");
    await child.says(1 + Math.floor(Math.random() * 40));
    await sleep(Math.random() * 3);
    if (await child.kill()) kills++;
    const events = child.said.flatMap((line) => line.split(" "));
    expect(new Set(events).size).toBe(events.length);
    const again = numbers(GROUPS).map(
      (group) => events.filter((event) => times.has(event) && batchOfEvent(event) % GROUPS === group).length,
    );
    // Claimed before the last kill, or before an earlier one after which the group was not claimed again.
    for (const ofGroup of again) expect(ofGroup).toBeLessThanOrEqual(TAKEN_EVENTS);
    repeated += again.reduce((sum, ofGroup) => sum + ofGroup, 0);
    for (const event of events) times.set(event, (times.get(event) ?? 0) + 1);
  }
  await using opened = await openSpool(folder);
  const left = [...(await drain(opened.spool, ANYTHING)).values()].flat();
  console.log(
    `${kills} kills: ${times.size} events forwarded, ${repeated} of them again; ${left.length} left`,
  );
  const all = new Set([...times.keys(), ...left]);
  expect(all.size).toBe(count * 2);
  expect(kills).toBeGreaterThan(0);
  expect(opened.events).toEqual([]);
}, 60_000);
