import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DIGEST_WORDS, SeenDigests } from "../../src/log-events/dedupe.ts";
import { BatchParser } from "../../src/log-events/parse.ts";
import { GarbageLimit } from "../../src/platform/garbage-limit.ts";
import { textsOf } from "../support/log-events/event-batches.ts";

const gate = {
  eventName: "statsig::gate_exposure",
  time: 1_760_000_000_000,
  metadata: { gate: "g", gateValue: "true", ruleID: "r" },
};

/** Few bits differ in the first word, so that the table has many collisions. */
const digestsOf = (values: readonly number[]): Uint32Array =>
  Uint32Array.from(values.flatMap((value) => [Math.imul(value, 0x9e3779b1) & 0xff, value, 0, 1]));

describe("the window of deduplication", () => {
  test("has exactly the last digests; a new one evicts the oldest", () => {
    const values = fc.array(fc.nat(80), { maxLength: 400 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), values, (limit, all) => {
        const seen = new SeenDigests(limit);
        const model: number[] = [];
        for (const value of all) {
          const digest = digestsOf([value]);
          expect(seen.has(digest, 0)).toBe(model.includes(value));
          seen.add(digest, 0);
          if (!model.includes(value)) model.push(value);
          if (model.length > limit) model.shift();
        }
        expect(seen.count).toBe(model.length);
        for (let value = 0; value <= 80; value++) {
          expect(seen.has(digestsOf([value]), 0)).toBe(model.includes(value));
        }
      }),
      { numRuns: 500 },
    );
  });

  test("grows in steps and keeps its digests", () => {
    const limit = 100_000;
    const spread = (value: number) => Uint32Array.of(Math.imul(value, 0x9e3779b1), value, 0, 1);
    const seen = new SeenDigests(limit);
    const atFirst = seen.allocatedBytes;
    for (let value = 1; value <= limit + 1_000; value++) seen.add(spread(value), 0);
    expect(seen.count).toBe(limit);
    expect(atFirst).toBeLessThan(500_000);
    expect(seen.allocatedBytes / limit).toBeLessThanOrEqual(16 + 4 * DIGEST_WORDS);
    for (let value = 1; value <= limit + 1_000; value += 7) {
      expect(seen.has(spread(value), 0)).toBe(value > 1_000);
    }
  });
});

describe("deduplication of batches", () => {
  const read = (parser: BatchParser, events: readonly unknown[]) => {
    const reading = parser.parse({
      body: new Uint8Array(Buffer.from(JSON.stringify({ events }))),
      contentEncoding: "",
      sdkKey: "secret-a",
      maxBytes: 5_000_000,
      maxEvents: 20_000,
      dedupeLimit: 1_000,
    });
    if (reading.kind !== "read") throw new Error(reading.kind);
    return reading;
  };

  test("drops every duplicate and never the first event, within a batch and between batches", () => {
    const event = fc.oneof(
      { weight: 4, arbitrary: fc.nat(12).map((user) => ({ ...gate, user: { userID: user } })) },
      { weight: 1, arbitrary: fc.constant({ eventName: "purchase" }) },
    );
    const batches = fc.array(fc.record({ events: fc.array(event, { maxLength: 8 }), queued: fc.boolean() }), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(batches, (all) => {
        const parser = new BatchParser(new GarbageLimit());
        const known = new Set<string>();
        for (const { events, queued } of all) {
          const { chunks, digests, duplicates } = read(parser, events);
          const kept = textsOf(chunks);
          const here = new Set<string>();
          const expected = events
            .map((each) => JSON.stringify(each))
            .filter((text) => {
              const isExposure = text.includes("gate_exposure");
              const isRepeat = isExposure && (known.has(text) || here.has(text));
              if (isExposure) here.add(text);
              return !isRepeat;
            });
          expect(kept).toEqual(expected);
          expect(duplicates).toBe(events.length - kept.length);
          // As if the queue was full: the SDK sends them again, and they must not be dropped then.
          if (!queued) continue;
          if (digests !== undefined) parser.remember(digests);
          for (const text of here) known.add(text);
        }
      }),
      { numRuns: 500 },
    );
  });
});
