import { expect, test } from "bun:test";
import fc from "fast-check";
import { readBatch } from "../../src/log-events/batch.ts";
import { countBytes, countEvents, cutChunks, splitChunk } from "../../src/log-events/chunk.ts";
import { bytesOf, textsOf } from "../support/log-events/event-batches.ts";

const spaces = fc.constantFrom("", " ", "\n", "\t \r\n");
const event = fc.oneof(
  fc.json(),
  fc.constantFrom("{}", "1", '"]"', '"\\",\\\\"', '{"a":[1,{"b":","}]}', '"é🎈"'),
  fc.integer({ min: 400, max: 3_000 }).map((length) => JSON.stringify("ab".repeat(length))),
);
/** Events with spaces around them, and whether each is left out like a duplicate. */
const events = fc.array(fc.record({ before: spaces, text: event, after: spaces, isLeftOut: fc.boolean() }), {
  maxLength: 40,
});
const limits = fc.record({
  maxEvents: fc.integer({ min: 1, max: 9 }),
  maxBytes: fc.integer({ min: 1, max: 4_000 }),
});

type Events = typeof events extends fc.Arbitrary<infer T> ? T : never;

function rangesOf(all: Events) {
  const body = `{"events":[${all.map(({ before, text, after }) => before + text + after).join(",")}]}`;
  const read = readBatch(Buffer.from(body), { maxEvents: 1_000, maxMetadataBytes: 0 });
  if (read.kind !== "read") throw new Error(read.kind);
  const ranges = read.ranges.filter((_, at) => !all[Math.floor(at / 2)]?.isLeftOut);
  const texts = all.filter(({ isLeftOut }) => !isLeftOut).map(({ text }) => text.trim());
  return { text: read.text, ranges, texts };
}

test("chunks have the events byte for byte, in order, and are as full as the limits allow", () => {
  fc.assert(
    fc.property(events, limits, (all, { maxEvents, maxBytes }) => {
      const { text, ranges, texts } = rangesOf(all);
      const chunks = cutChunks(text, ranges, { maxEvents, maxBytes });
      expect(chunks.flatMap((chunk) => textsOf([chunk]))).toEqual(texts);
      expect([countEvents(chunks), countBytes(chunks)]).toEqual([texts.length, bytesOf(texts)]);
      for (const chunk of chunks) {
        const inside = textsOf([chunk]);
        expect([chunk.count, chunk.bytes]).toEqual([inside.length, bytesOf(inside)]);
        expect(chunk.count).toBeLessThanOrEqual(maxEvents);
        if (chunk.count > 1) expect(chunk.bytes).toBeLessThanOrEqual(maxBytes);
        // Buffers that are transferred between threads must not be part of a larger one.
        expect(chunk.body.buffer.byteLength).toBe(chunk.body.byteLength);
      }
      for (const [at, { count, bytes }] of chunks.slice(0, -1).entries()) {
        const next = textsOf(chunks.slice(at + 1))[0] ?? "";
        expect(count === maxEvents || bytes + bytesOf([next]) > maxBytes).toBe(true);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("a chunk can be split anywhere", () => {
  fc.assert(
    fc.property(events, fc.nat(), (all, place) => {
      const { text, ranges, texts } = rangesOf(all);
      fc.pre(texts.length > 1);
      const [chunk] = cutChunks(text, ranges);
      if (chunk === undefined) throw new Error("there is no chunk");
      const count = 1 + (place % (texts.length - 1));
      const [first, rest] = splitChunk(chunk, count);
      expect(textsOf([first])).toEqual(texts.slice(0, count));
      expect(textsOf([rest])).toEqual(texts.slice(count));
      for (const part of [first, rest]) {
        expect([part.count, part.bytes]).toEqual([textsOf([part]).length, bytesOf(textsOf([part]))]);
      }
    }),
    { numRuns: 500 },
  );
});
