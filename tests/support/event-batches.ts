import { randomBytes } from "node:crypto";
import type { EventBatch, EventGroup, TakeLimits } from "../../src/log-events/event-queue.ts";
import { parseSdkKey } from "../../src/specs/sdk-key.ts";

/** A new object each time: queues tell groups by what they say. */
export function eventGroup(name: string, sdkKey = `secret-${name}`): EventGroup {
  const parsed = parseSdkKey(sdkKey);
  if (parsed === undefined) throw new Error(`${sdkKey} can't be an SDK key`);
  return {
    sdkKey: parsed,
    metadata: JSON.stringify({ sdkType: "tést", name }),
    headers: { "statsig-sdk-type": "test", "statsig-sdk-version": name },
  };
}

/** The text of an event; no two of a test are the same. */
export const eventText = (label: string): string => `{"eventName": "événement ${label} 🎈",\n "value":1}`;

export function eventBatch(group: EventGroup, labels: readonly string[], queuedAt: number): EventBatch {
  return batchOf(group, labels.map(eventText), queuedAt);
}

export const batchOf = (group: EventGroup, events: readonly string[], queuedAt: number): EventBatch => ({
  group,
  events,
  bytes: bytesOf(events),
  queuedAt,
});

export const bytesOf = (events: readonly string[]): number =>
  events.reduce((bytes, event) => bytes + Buffer.byteLength(event), 0);

/** Due is whatever waits. */
export const ANYTHING: TakeLimits = {
  maxEvents: 1_000,
  maxBytes: 1_000_000,
  dueBefore: Number.MAX_SAFE_INTEGER,
};

/** An event that compression hardly makes smaller than `bytes`. */
export const largeEvent = (bytes: number): string => JSON.stringify(randomBytes(bytes).toString("base64"));
