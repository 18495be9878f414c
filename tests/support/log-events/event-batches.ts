import { randomBytes } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { parseSdkKey } from "../../../src/access/sdk-key.ts";
import { readBatch } from "../../../src/log-events/batch.ts";
import { cutChunks, type EventChunk } from "../../../src/log-events/chunk.ts";
import type {
  ClaimedEvents,
  ClaimLimits,
  EventBatch,
  EventGroup,
  EventQueue,
} from "../../../src/log-events/queue.ts";

/** Returns a new object each time, because queues must compare groups by value. */
export function eventGroup(name: string, sdkKey = `secret-${name}`): EventGroup {
  const parsed = parseSdkKey(sdkKey);
  if (parsed === undefined) throw new Error(`${sdkKey} can't be an SDK key`);
  return {
    sdkKey: parsed,
    metadata: JSON.stringify({ sdkType: "tést", name }),
    headers: { "statsig-sdk-type": "test", "statsig-sdk-version": name },
  };
}

/** Returns the text of an event; different labels give different texts. */
export const eventText = (label: string): string => `{"eventName": "événement ${label} 🎈",\n "value":1}`;

/** A batch together with the texts of its events. */
export interface TextBatch extends EventBatch {
  readonly events: readonly string[];
  readonly bytes: number;
}

export function eventBatch(group: EventGroup, labels: readonly string[], queuedAt: number): TextBatch {
  return batchOf(group, labels.map(eventText), queuedAt);
}

export const batchOf = (group: EventGroup, events: readonly string[], queuedAt: number): TextBatch => ({
  group,
  chunks: chunksOf(events),
  queuedAt,
  events,
  bytes: bytesOf(events),
});

/** Cuts events into chunks as the relay does. */
export function chunksOf(events: readonly string[]): EventChunk[] {
  const { text, ranges } = read(`{"events":[${events.join(",")}]}`);
  return cutChunks(text, ranges);
}

export function textsOf(chunks: readonly EventChunk[]): string[] {
  const joined = chunks.map(({ zstd, body }) =>
    Buffer.from(zstd ? zstdDecompressSync(body) : body).toString(),
  );
  const { text, ranges } = read(`{"events":[${joined.join(",")}]}`);
  const texts: string[] = [];
  for (let at = 0; at < ranges.length; at += 2) texts.push(text.toString("utf8", ranges[at], ranges[at + 1]));
  return texts;
}

function read(body: string) {
  const limits = { maxEvents: Number.POSITIVE_INFINITY, maxMetadataBytes: 0 };
  const reading = readBatch(Buffer.from(body), limits);
  if (reading.kind !== "read") throw new Error(`${reading.kind}: ${body.slice(0, 200)}`);
  return reading;
}

export interface ClaimedTexts extends ClaimedEvents {
  readonly events: readonly string[];
  readonly bytes: number;
}

export interface TextQueue extends EventQueue {
  claim(limits: ClaimLimits): Promise<ClaimedTexts | undefined>;
}

/** Wraps a queue, so that claims have the texts of their events. */
export function withTexts(queue: EventQueue): TextQueue {
  return {
    put: (batch) => queue.put(batch),
    claim: async (limits) => {
      const claimed = await queue.claim(limits);
      if (claimed === undefined) return undefined;
      const events = textsOf(claimed.chunks);
      return { ...claimed, events, bytes: claimed.chunks.reduce((sum, { bytes }) => sum + bytes, 0) };
    },
    ack: (claimed, count) => queue.ack(claimed, count),
    drop: (claimed) => queue.drop(claimed),
    nack: (claimed) => queue.nack(claimed),
    get depth() {
      return queue.depth;
    },
    get filled() {
      return queue.filled;
    },
    nextDueAt: (maxWaitMs) => queue.nextDueAt(maxWaitMs),
    onPut: (listener) => queue.onPut(listener),
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  };
}

export const bytesOf = (events: readonly string[]): number =>
  events.reduce((bytes, event) => bytes + Buffer.byteLength(event), 0);

/** Limits for a claim by which every group is due. */
export const ANYTHING: ClaimLimits = {
  maxEvents: 1_000,
  maxBytes: 1_000_000,
  dueBefore: Number.MAX_SAFE_INTEGER,
};

/** An event that compression hardly makes smaller than `bytes`. */
export const largeEvent = (bytes: number): string => JSON.stringify(randomBytes(bytes).toString("base64"));
