import { expect, test } from "bun:test";
import { constants, gunzipSync } from "node:zlib";
import fc from "fast-check";
import { compressSegment, GzipBody, storeSegment } from "../../src/http/streams/gzip-segments.ts";

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme", maxLength: 2_000 }),
  fc.tuple(fc.string({ minLength: 1 }), fc.nat(5_000)).map(([part, times]) => part.repeat(times)),
);

/** A segment, as text: stored, or compressed of several parts. */
const segment = fc.oneof(
  fc.record({ isStored: fc.constant(true), parts: fc.tuple(fc.string({ maxLength: 100 })) }),
  fc.record({ isStored: fc.constant(false), parts: fc.array(text, { maxLength: 3 }) }),
);

test("any segments in any order are a valid gzip body, whole and at each of its segments", async () => {
  const encoder = new TextEncoder();
  await fc.assert(
    fc.asyncProperty(
      fc.array(segment, { maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      async (kinds, picks) => {
        const made = await Promise.all(
          kinds.map(async ({ isStored, parts }) => {
            const bytes = parts.map((part) => encoder.encode(part));
            const made = isStored ? storeSegment(bytes[0] ?? new Uint8Array()) : await compressSegment(bytes);
            return { made, plain: parts.join("") };
          }),
        );
        const body = new GzipBody();
        const sent: Uint8Array[] = [];
        let plain = "";
        // Clients share segments: one may come several times, and not all come.
        for (const pick of picks.take(made.length)) {
          const next = made[pick % made.length];
          if (next === undefined) break;
          sent.push(...body.add(next.made));
          plain += next.plain;
          const partial = gunzipSync(Buffer.concat(sent), { finishFlush: constants.Z_SYNC_FLUSH });
          expect(partial.toString()).toBe(Buffer.from(plain).toString());
        }
        sent.push(...body.end());
        expect(gunzipSync(Buffer.concat(sent)).toString()).toBe(Buffer.from(plain).toString());
      },
    ),
    { numRuns: 200 },
  );
});
