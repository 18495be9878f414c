import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { type EventSpoolOptions, openEventSpool } from "../../src/local/event-spool.ts";
import type { SpoolEvent } from "../../src/local/event-spool-events.ts";
import { ANYTHING, type TextQueue, withTexts } from "./event-batches.ts";
import { quietSupervisor } from "./supervisors.ts";

export interface OpenedSpool extends AsyncDisposable {
  readonly spool: TextQueue;
  /** What it reported, oldest first. */
  readonly events: readonly SpoolEvent[];
}

/** A spool in this folder; throws where there is none to be had. */
export async function openSpool(
  path: string,
  options: Partial<EventSpoolOptions> = {},
): Promise<OpenedSpool> {
  const events: SpoolEvent[] = [];
  const spool = await openEventSpool({
    supervisor: quietSupervisor(),
    path,
    maxBytes: 512 * 1024 * 1024,
    maxBatches: 10_000_000,
    maxAgeMs: 72 * 3_600_000,
    clock: systemClock,
    onProblem: (event) => events.push(event),
    ...options,
  });
  if (spool === undefined) throw new Error(JSON.stringify(events));
  return { spool: withTexts(spool), events, [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose]() };
}

/** Takes and removes whatever there is: the events, by the metadata of their group. */
export async function drain(queue: TextQueue, limits = ANYTHING): Promise<Map<string, string[]>> {
  const drained = new Map<string, string[]>();
  for (let taken = await queue.take(limits); taken !== undefined; taken = await queue.take(limits)) {
    const { metadata } = taken.group;
    drained.set(metadata, [...(drained.get(metadata) ?? []), ...taken.events]);
    await queue.remove(taken);
  }
  return drained;
}

export const spoolFileIn = (folder: string): string => join(folder, "events.sqlite");

/** What the events say to people. */
export const detailOf = (events: readonly SpoolEvent[]): string =>
  events.map((event) => ("detail" in event ? event.detail : "")).join("\n");
