import { expect, test } from "bun:test";
import fc from "fast-check";
import type { FetchOutcome } from "../../src/specs/source.ts";
import { failed, unauthorized, version } from "../support/specs/scripted-source.ts";
import { INTERVAL_MS, scriptedEndpoints } from "../support/upstream/scripted-endpoints.ts";

/** How an endpoint answers. */
const CONDITIONS = [
  "well",
  "unreachable",
  "silent",
  "error",
  "rejecting",
  "ignores_since",
  "names_version",
] as const;
type Condition = (typeof CONDITIONS)[number];

type Step =
  | { readonly kind: "condition"; readonly at: number; readonly condition: Condition }
  /** The endpoint gets a version that is newer than its own by `by`. */
  | { readonly kind: "publish"; readonly at: number; readonly by: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "poll" };

const at = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("condition" as const), at, condition: fc.constantFrom(...CONDITIONS) }),
  fc.record({ kind: fc.constant("publish" as const), at, by: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(3 * INTERVAL_MS) }),
  fc.record({ kind: fc.constant("poll" as const) }),
);

interface EndpointModel {
  condition: Condition;
  lcut: number;
}

function answer({ condition, lcut }: EndpointModel, sinceTime: number): FetchOutcome {
  switch (condition) {
    case "well":
      return sinceTime >= lcut ? { kind: "no_update", lcut } : version(lcut);
    // These two send their version whether or not it is newer, one of them with its lcut in a header.
    case "ignores_since":
      return version(lcut);
    case "names_version":
      return withHeader(version(lcut), lcut);
    case "unreachable":
      return failed("unreachable");
    case "silent":
      return failed("timeout");
    case "error":
      return failed("status");
    case "rejecting":
      return unauthorized;
  }
}

function withHeader(outcome: FetchOutcome, headerLcut: number): FetchOutcome {
  return outcome.kind === "payload" ? { ...outcome, raw: { ...outcome.raw, headerLcut } } : outcome;
}

const isWell = ({ condition }: EndpointModel) =>
  ["well", "ignores_since", "names_version"].includes(condition);

test("whatever fails in whatever order, no version goes back, and each poll succeeds that an endpoint could answer", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 3 }),
      fc.array(step, { minLength: 10, maxLength: 60 }),
      async (count, steps) => {
        const models: EndpointModel[] = Array.from({ length: count }, () => ({ condition: "well", lcut: 5 }));
        const modelAt = (index: number) => models[index % count] as EndpointModel;
        const flow = scriptedEndpoints(count);
        flow.scripts.push(...models.map((model) => (sinceTime: number) => answer(model, sinceTime)));
        const [preferred] = models as [EndpointModel];
        await flow.firstRequest();
        for (const each of steps) {
          switch (each.kind) {
            case "condition": {
              // That the preferred one may reject the key is shown elsewhere.
              const isRejection = each.at % count === 0 && each.condition === "rejecting";
              modelAt(each.at).condition = isRejection ? "error" : each.condition;
              break;
            }
            case "publish":
              modelAt(each.at).lcut += each.by;
              break;
            case "wait":
              await flow.clock.advance(each.ms);
              break;
            case "poll": {
              // The shortest interval.
              await flow.clock.advance(1_001);
              const before = flow.held();
              const [lcutBefore = 0, confirmedBefore = 0] = [
                before?.snapshot.lcut,
                before?.confirmed?.elapsed,
              ];
              const wasIll = flow.endpoints.members[0]?.health.isIll;
              const outcome = await flow.poll();
              const held = flow.held();
              const lcut = held?.snapshot.lcut ?? 0;
              expect(lcut).toBeGreaterThanOrEqual(lcutBefore);
              expect(outcome.kind).toBe(models.some(isWell) ? "fresh" : "failed");
              if (isWell(preferred) && !wasIll) expect(lcut).toBeGreaterThanOrEqual(preferred.lcut);
              // Only an endpoint that has this version, or a newer one, confirms it.
              const isConfirmable = models.some((model) => isWell(model) && model.lcut >= lcut);
              if (!isConfirmable) expect(held?.confirmed?.elapsed ?? 0).toBe(confirmedBefore);
            }
          }
        }
      },
    ),
    { numRuns: 1_000 },
  );
}, 60_000);
