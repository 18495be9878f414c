import { join } from "node:path";
import { MemoryQueue } from "../../../src/log-events/memory-queue.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import type { SpoolEvent } from "../../../src/spool/events.ts";
import { SpooledQueue } from "../../../src/spool/queue.ts";
import { EventSpool, type EventSpoolOptions } from "../../../src/spool/spool.ts";
import { quietSupervisor, strictSupervisor } from "../common/supervisors.ts";
import { ANYTHING, type TextQueue, withTexts } from "../log-events/event-batches.ts";

export interface OpenedSpool extends AsyncDisposable {
  readonly spool: TextQueue;
  /** The events that it emitted, oldest first. */
  readonly events: readonly SpoolEvent[];
}

/** Opens a spool in this folder. Rejects if it can't be used. */
export async function openSpool(
  path: string,
  options: Partial<EventSpoolOptions> = {},
): Promise<OpenedSpool> {
  const events: SpoolEvent[] = [];
  const spool = unopenedSpool(path, { onProblem: (event) => events.push(event), ...options });
  try {
    await spool.open();
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }
  return { spool: withTexts(spool), events, [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose]() };
}

function unopenedSpool(path: string, options: Partial<EventSpoolOptions>): EventSpool {
  return new EventSpool({
    supervisor: quietSupervisor(),
    path,
    maxBytes: 512 * 1024 * 1024,
    maxBatches: 10_000_000,
    maxAgeMs: 72 * 3_600_000,
    clock: systemClock,
    onProblem: () => {},
    ...options,
  });
}

export interface OpenedQueue extends AsyncDisposable {
  readonly queue: SpooledQueue;
  readonly events: readonly SpoolEvent[];
}

/** A queue that keeps events in a spool in this folder, or in memory while the spool can't be used. */
export function spooledQueue(path: string): OpenedQueue {
  const events: SpoolEvent[] = [];
  const onProblem = (event: SpoolEvent) => events.push(event);
  const spool = unopenedSpool(path, { onProblem });
  const memory = new MemoryQueue({ maxBatches: 1_000, maxBytes: 64 * 1024 * 1024 });
  const supervisor = strictSupervisor();
  const queue = new SpooledQueue({ spool, memory, clock: systemClock, supervisor, onProblem });
  return { queue, events, [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose]() };
}

/** Claims and acknowledges all events. Returns them by the metadata of their group. */
export async function drain(queue: TextQueue, limits = ANYTHING): Promise<Map<string, string[]>> {
  const drained = new Map<string, string[]>();
  for (let claimed = await queue.claim(limits); claimed !== undefined; claimed = await queue.claim(limits)) {
    const { metadata } = claimed.group;
    drained.set(metadata, [...(drained.get(metadata) ?? []), ...claimed.events]);
    await queue.ack(claimed);
  }
  return drained;
}

export const spoolFileIn = (folder: string): string => join(folder, "events.sqlite");

/** Returns the details of the events. */
export const detailOf = (events: readonly SpoolEvent[]): string =>
  events.map((event) => ("detail" in event ? event.detail : "")).join("\n");
