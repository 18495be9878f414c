import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KeyAdmission } from "../../src/access/admission.ts";
import { AllowList } from "../../src/access/allow-list.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { sdkKeyOf } from "../support/specs/snapshots.ts";

/** A key that requests after a delay. */
const asks = fc.array(fc.record({ afterMs: fc.nat({ max: 2_000 }), key: fc.nat({ max: 40 }) }), {
  maxLength: 200,
  size: "max",
});
const limits = fc.record({
  maxKeys: fc.integer({ min: 1, max: 20 }),
  unknownKeysPerS: fc.integer({ min: 1, max: 50 }),
});

function admissionWith(
  allowed: readonly string[] | undefined,
  options: { maxKeys: number; unknownKeysPerS: number },
) {
  const clock = new FakeClock();
  const allowList = new AllowList(allowed?.map(sdkKeyOf));
  return { clock, allowList, admission: new KeyAdmission({ allowList, clock, ...options }) };
}

const keyOf = (number: number) => sdkKeyOf(`secret-${number}`);

describe("without an allow-list", () => {
  test("a key takes no second token while upstream cannot tell whether it is valid", async () => {
    const { clock, admission } = admissionWith(undefined, { maxKeys: 2, unknownKeysPerS: 1 });
    expect(admission.admit(keyOf(1)).kind).toBe("admitted");
    for (let outage = 0; outage < 10; outage++) {
      admission.undecided(keyOf(1));
      await clock.advance(29_000);
      for (let unknown = 0; unknown < 30; unknown++) admission.admit(keyOf(100 * outage + unknown + 50));
      expect(admission.admit(keyOf(1)).kind).toBe("admitted");
    }
  });

  test("never admits more unknown keys in any time window than the bucket holds and is refilled with", async () => {
    await fc.assert(
      fc.asyncProperty(asks, limits, async (steps, options) => {
        const { clock, admission } = admissionWith(undefined, options);
        const admittedAt: number[] = [];
        for (const [index, { afterMs }] of steps.entries()) {
          await clock.advance(afterMs);
          if (admission.admit(keyOf(index)).kind === "admitted") admittedAt.push(clock.elapsed());
        }
        for (const [first, from] of admittedAt.entries()) {
          for (let last = first; last < admittedAt.length; last++) {
            const seconds = ((admittedAt[last] ?? 0) - from) / 1_000;
            const most = options.maxKeys + seconds * options.unknownKeysPerS;
            expect(last - first + 1).toBeLessThanOrEqual(most + 1e-6);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test("admits a throttled key that comes back after Retry-After", async () => {
    await fc.assert(
      fc.asyncProperty(asks, limits, async (steps, options) => {
        const { clock, admission } = admissionWith(undefined, options);
        for (const [index, { afterMs }] of steps.entries()) {
          await clock.advance(afterMs);
          const admitted = admission.admit(keyOf(index));
          if (admitted.kind !== "throttled") continue;
          expect(admitted.retryAfterMs).toBeWithin(0, 1_000 + 1);
          await clock.advance(Math.ceil(admitted.retryAfterMs) + 1);
          expect(admission.admit(keyOf(index)).kind).toBe("admitted");
        }
      }),
      { numRuns: 40 },
    );
  });

  test("always admits a known key, which takes no token", async () => {
    await fc.assert(
      fc.asyncProperty(asks, limits, async (steps, options) => {
        const { clock, admission } = admissionWith(undefined, options);
        const known = new Set([keyOf(0), keyOf(1)]);
        admission.knownBy((sdkKey) => known.has(sdkKey));
        admission.accepted(keyOf(2));
        for (const { afterMs, key } of steps) {
          await clock.advance(afterMs);
          const { kind } = admission.admit(keyOf(key));
          if (key <= 2) expect(kind).toBe("admitted");
        }
        await clock.advance(1_000 * options.maxKeys);
        for (let times = 0; times < 100; times++) {
          for (const key of [0, 1, 2]) expect(admission.admit(keyOf(key)).kind).toBe("admitted");
        }
        for (let key = 100; key < 100 + options.maxKeys; key++) {
          expect(admission.admit(keyOf(key)).kind).toBe("admitted");
        }
        expect(admission.admit(keyOf(1_000)).kind).toBe("throttled");
      }),
      { numRuns: 40 },
    );
  });

  test("an admitted key takes no further token within 30 s", async () => {
    const { clock, admission } = admissionWith(undefined, { maxKeys: 2, unknownKeysPerS: 1 });
    for (let times = 0; times < 8; times++) expect(admission.admit(keyOf(1)).kind).toBe("admitted");
    expect(admission.admit(keyOf(2)).kind).toBe("admitted");
    expect(admission.admit(keyOf(3))).toEqual({ kind: "throttled", retryAfterMs: 1_000 });
    await clock.advance(29_999);
    expect(admission.admit(keyOf(4)).kind).toBe("admitted");
    expect(admission.admit(keyOf(5)).kind).toBe("admitted");
    expect(admission.admit(keyOf(6)).kind).toBe("throttled");
    await clock.advance(2);
    expect(admission.admit(keyOf(1)).kind).toBe("throttled");
  });
});

describe("with an allow-list", () => {
  test("admits its keys without a limit, and no others", () => {
    fc.assert(
      fc.property(asks, limits, fc.uniqueArray(fc.nat({ max: 40 })), (steps, options, listed) => {
        const { admission } = admissionWith(
          listed.map((key) => `secret-${key}`),
          options,
        );
        for (const { key } of steps) {
          const kind = listed.includes(key) ? "admitted" : "not_allowed";
          expect(admission.admit(keyOf(key))).toEqual({ kind });
        }
      }),
    );
  });

  test("a changed list reports the removed keys once they are no longer allowed", () => {
    const { allowList, admission } = admissionWith(["secret-1", "secret-2"], {
      maxKeys: 1,
      unknownKeysPerS: 1,
    });
    const went: string[] = [];
    allowList.onRemoved((removed) => {
      for (const key of removed) went.push(`${key} ${admission.admit(key).kind}`);
    });
    expect(allowList.replace([keyOf(2), keyOf(3)])).toBe(1);
    expect(went).toEqual(["secret-1 not_allowed"]);
    expect(admission.admit(keyOf(3)).kind).toBe("admitted");
  });
});
