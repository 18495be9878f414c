import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { anyEdit, applyEdits, type Edit, newProject } from "../support/deltas/edits.ts";
import { ODDITIES, type Oddity, type ProjectVersion } from "../support/deltas/project-version.ts";
import { checkDeltas, type Prepared, prepareVersion } from "../support/deltas/version-chain.ts";

interface Step {
  /** Which version before is edited, counted from the last one; what does not exist is the first project. */
  readonly from: number;
  readonly edits: readonly Edit[];
  /** Publishes this version before once more, counted from the last one, instead of a new one. */
  readonly repeats: number | undefined;
  /** Is added to the latest `time` so far. */
  readonly laterBy: number;
  readonly hasChecksum: boolean;
  readonly oddity: Oddity | undefined;
  readonly depth: number;
  /** Whose histories the relay knows, counted from the last version. */
  readonly priors: readonly number[];
  /** The history of the last version, changed in transit. */
  readonly damage: { readonly at: number; readonly kind: "bit" | "truncated" } | undefined;
}

const mostly = <T>(usual: T, rare: fc.Arbitrary<T>, weight = 8): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: rare });

const anyStep = (depth: number): fc.Arbitrary<Step> =>
  fc.record({
    from: mostly(0, fc.nat(5)),
    edits: fc.array(anyEdit, { maxLength: 4 }),
    repeats: mostly<number | undefined>(undefined, fc.nat(4), 6),
    laterBy: mostly(1_000, fc.constant(0), 4),
    hasChecksum: mostly(true, fc.constant(false), 12),
    oddity: mostly<Oddity | undefined>(undefined, fc.constantFrom(...ODDITIES), 6),
    depth: mostly(depth, fc.nat(3), 12),
    priors: fc.oneof(
      { weight: 8, arbitrary: fc.constant([0]) },
      { weight: 1, arbitrary: fc.constant([]) },
      { weight: 4, arbitrary: fc.array(fc.nat(6), { minLength: 1, maxLength: 2 }) },
    ),
    damage: mostly(
      undefined,
      fc.record({ at: fc.nat(10_000), kind: fc.constantFrom("bit" as const, "truncated" as const) }),
    ),
  });

const anySteps: fc.Arbitrary<readonly Step[]> = fc
  .integer({ min: 1, max: 8 })
  .chain((depth) => fc.array(anyStep(depth), { minLength: 2, maxLength: 14 }));

function toVersion(step: Step, versions: readonly ProjectVersion[]): ProjectVersion {
  const source = versions.at(-1 - (step.repeats ?? step.from)) ?? versions[0] ?? newProject();
  if (step.repeats !== undefined) return source;
  const time = Math.max(...versions.map((each) => each.time)) + step.laterBy;
  const checksum = step.hasChecksum ? String(8_506_699_639_233_708_000n + BigInt(versions.length)) : "";
  return { ...applyEdits(source, step.edits), time, checksum, oddity: step.oddity };
}

function damagedHistory({ damage }: Step, last: Prepared | undefined): readonly Uint8Array[] {
  const history = last?.payload.history;
  if (damage === undefined || history === undefined) return [];
  const at = damage.at % history.length;
  if (damage.kind === "truncated") return [history.slice(0, at)];
  const copy = history.slice();
  copy[at] = (copy[at] ?? 0) ^ (1 << (damage.at % 8));
  return [copy];
}

/** Publishes the versions one after the other, and checks the deltas of each. Returns the number of deltas that were applied. */
async function run(steps: readonly Step[]): Promise<number> {
  const versions: ProjectVersion[] = [newProject()];
  const prepared: Prepared[] = [];
  let applied = 0;
  for (const step of steps) {
    const version = prepared.length === 0 ? newProject() : toVersion(step, versions);
    const damaged = damagedHistory(step, prepared.at(-1));
    const priors = damaged.length > 0 ? [] : step.priors.flatMap((back) => prepared.at(-1 - back) ?? []);
    versions.push(version);
    const next = await prepareVersion(version, { depth: step.depth, priors, damaged });
    prepared.push(next);
    applied += checkDeltas(next, versions, step.depth);
  }
  return applied;
}

describe("deltas of random sequences of versions", () => {
  test("lead from every base to exactly the whole payload", async () => {
    let applied = 0;
    await fc.assert(
      fc.asyncProperty(anySteps, async (steps) => {
        applied += await run(steps);
      }),
      { numRuns: 150 },
    );
    // Most payloads have deltas: about 600 in 150 sequences.
    expect(applied).toBeGreaterThan(300);
  }, 60_000);
});
