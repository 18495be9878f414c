import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { StreamLimit } from "../../src/grpc/stream-limit.ts";

type Happening = { readonly kind: "enter" } | { readonly kind: "leave"; readonly which: number };

const happenings = fc.array(
  fc.oneof(
    fc.constant<Happening>({ kind: "enter" }),
    fc.record({ kind: fc.constant("leave" as const), which: fc.nat() }),
  ),
  { maxLength: 100, size: "max" },
);

const maxStreams = fc.integer({ min: 1, max: 12 });

describe("for every order of entering and leaving", () => {
  test("the count is that of the streams that are open, never above the bound, and none once all left", () => {
    fc.assert(
      fc.property(maxStreams, happenings, (max, each) => {
        const admission = new StreamLimit(max);
        const everyone: (() => void)[] = [];
        const open = new Set<() => void>();
        for (const happening of each) {
          if (happening.kind === "enter") {
            const leave = admission.enter();
            expect(leave !== undefined).toBe(open.size < max);
            if (leave !== undefined) {
              everyone.push(leave);
              open.add(leave);
            }
          } else {
            // Whoever has left may leave again: streams end in more than one way.
            const leave = everyone[happening.which % (everyone.length || 1)];
            leave?.();
            if (leave !== undefined) open.delete(leave);
          }
          expect(admission.open).toBe(open.size);
          expect(admission.open).toBeLessThanOrEqual(max);
          expect(admission.hasRoom).toBe(open.size * 100 <= 90 * max);
        }
        for (const leave of [...everyone, ...everyone]) leave();
        expect(admission.open).toBe(0);
        expect(admission.hasRoom).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

test("health turns above 90 percent, as WIRE 3 says, and back when a stream leaves", () => {
  const admission = new StreamLimit(10);
  const leaves = Array.from({ length: 9 }, () => admission.enter());
  expect(admission.hasRoom).toBe(true);
  const last = admission.enter();
  expect([admission.hasRoom, admission.enter()]).toEqual([false, undefined]);
  last?.();
  expect([admission.hasRoom, leaves.length]).toEqual([true, 9]);
});
