import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { StreamLimit } from "../../src/streams/stream-limit.ts";

type Step = { readonly kind: "enter" } | { readonly kind: "leave"; readonly which: number };

const steps = fc.array(
  fc.oneof(
    fc.constant<Step>({ kind: "enter" }),
    fc.record({ kind: fc.constant("leave" as const), which: fc.nat() }),
  ),
  { maxLength: 100, size: "max" },
);

const maxStreams = fc.integer({ min: 1, max: 12 });

describe("for every order of opening and closing", () => {
  test("counts the open streams, never above the limit, and zero once all are closed", () => {
    fc.assert(
      fc.property(maxStreams, fc.nat(100), steps, (max, percent, each) => {
        const admission = new StreamLimit(max, percent, new SharedCount());
        const everyone: (() => void)[] = [];
        const open = new Set<() => void>();
        for (const step of each) {
          if (step.kind === "enter") {
            const leave = admission.enter();
            expect(leave !== undefined).toBe(open.size < max);
            if (leave !== undefined) {
              everyone.push(leave);
              open.add(leave);
            }
          } else {
            // A stream may be closed twice: it can end in several ways.
            const leave = everyone[step.which % (everyone.length || 1)];
            leave?.();
            if (leave !== undefined) open.delete(leave);
          }
          expect(admission.open).toBe(open.size);
          expect(admission.open).toBeLessThanOrEqual(max);
          expect(admission.hasRoom).toBe(Math.floor((open.size * 100) / max) <= percent);
        }
        for (const leave of [...everyone, ...everyone]) leave();
        expect(admission.open).toBe(0);
        expect(admission.hasRoom).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

test("a limit of 0 rejects every stream, and health says so", () => {
  const admission = new StreamLimit(0, 100, new SharedCount());
  expect([admission.hasRoom, admission.enter()]).toEqual([false, undefined]);
});

test("health changes above 90 percent (docs/protocol.md, Health and reflection), and back when a stream closes", () => {
  const admission = new StreamLimit(10, 90, new SharedCount());
  const leaves = Array.from({ length: 9 }, () => admission.enter());
  expect(admission.hasRoom).toBe(true);
  const last = admission.enter();
  expect([admission.hasRoom, admission.enter()]).toEqual([false, undefined]);
  last?.();
  expect([admission.hasRoom, leaves.length]).toEqual([true, 9]);
});
