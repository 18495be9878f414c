import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PreparedPayload } from "../../src/specs/snapshot.ts";
import { anyEdit, applyEdits, type Edit, newProject } from "../support/deltas/edits.ts";
import {
  CHECKSUM_STYLES,
  type ChecksumStyle,
  ODDITIES,
  type Oddity,
  type ProjectVersion,
} from "../support/deltas/project-version.ts";
import { applied, deltaBetween, prepareDelta } from "../support/deltas/relay-chain.ts";
import { SdkSpecs } from "../support/deltas/sdk-specs.ts";
import { checkDeltas, type Prepared, prepareVersion } from "../support/deltas/version-chain.ts";

interface Step {
  readonly edits: readonly Edit[];
  readonly laterBy: number;
  readonly oddity: Oddity | undefined;
  /** Whether the relay behind asks for this version, or sleeps. */
  readonly isAsked: boolean;
}

const DEPTH = 8;

const anyStep: fc.Arbitrary<Step> = fc.record({
  edits: fc.array(anyEdit, { maxLength: 4 }),
  laterBy: fc.constantFrom(1_000, 1_000, 1_000, 0),
  oddity: fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(...ODDITIES) },
  ),
  isAsked: fc.oneof(
    { weight: 3, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
});

const anySteps = fc.array(anyStep, { minLength: 1, maxLength: 10 });

/** Returns the versions of a project, oldest first, each with a checksum of its own. */
function toVersions(steps: readonly Step[], checksumStyle: ChecksumStyle): readonly ProjectVersion[] {
  const versions: ProjectVersion[] = [{ ...newProject(), checksumStyle }];
  for (const [index, { edits, laterBy, oddity }] of steps.entries()) {
    const last = versions.at(-1) ?? newProject();
    const edited = applyEdits(last, edits);
    versions.push({ ...edited, time: last.time + laterBy, checksum: String(index), oddity });
  }
  return versions;
}

/** Prepares each version with the history of the one before. */
async function prepareAll(versions: readonly ProjectVersion[]): Promise<readonly Prepared[]> {
  const all: Prepared[] = [];
  for (const version of versions)
    all.push(await prepareVersion(version, { depth: DEPTH, priors: all.slice(-1) }));
  return all;
}

const contentOf = ({ bytes }: PreparedPayload) => {
  const specs = SdkSpecs.fromPayload(bytes);
  return { topLevel: specs.topLevel, entities: specs.entities() };
};

function expectSame(actual: PreparedPayload, expected: PreparedPayload): void {
  expect(contentOf(actual)).toEqual(contentOf(expected));
  const { lcut, checksum, contentDigest } = expected;
  expect(actual).toMatchObject({ lcut, checksum, format: "proto", contentDigest });
}

describe("a relay behind another relay", () => {
  test("makes of deltas exactly the versions that the other one has, and the deltas to them", async () => {
    let received = 0;
    await fc.assert(
      fc.asyncProperty(anySteps, fc.constantFrom(...CHECKSUM_STYLES), async (steps, style) => {
        const versions = toVersions(steps, style);
        const [first, ...others] = await prepareAll(versions);
        let held = first ?? expect.unreachable();
        for (const [index, next] of others.entries()) {
          if (steps[index]?.isAsked === false) continue;
          const delta = deltaBetween(held.payload, next.payload);
          if (delta === undefined)
            held = await prepareVersion(next.version, { depth: DEPTH, priors: [held] });
          else {
            received++;
            const payload = await applied(held.payload, delta);
            expectSame(payload, next.payload);
            held = { version: next.version, payload, seen: new Set([...held.seen, next.version]) };
          }
          checkDeltas(held, versions, DEPTH);
        }
      }),
      { numRuns: 80 },
    );
    expect(received).toBeGreaterThan(100);
  }, 60_000);

  test("never makes another version of a delta and a version to which it does not belong", async () => {
    let refused = 0;
    const anyStyle = fc.constantFrom<ChecksumStyle>("base64", "u32", "stale", "none");
    await fc.assert(
      fc.asyncProperty(anySteps, anyStyle, fc.nat(20), fc.boolean(), async (steps, style, at, hasDigest) => {
        const all = await prepareAll(toVersions(steps, style));
        const newest = all.at(-1)?.payload ?? expect.unreachable();
        const base = all[at % all.length]?.payload ?? expect.unreachable();
        for (const { bytes } of newest.deltas ?? []) {
          const contentDigest = hasDigest ? newest.contentDigest : undefined;
          const preparation = await prepareDelta(base, { bytes, contentDigest });
          if (preparation.kind === "prepared") expectSame(preparation.payload, newest);
          else {
            refused++;
            expect(preparation).toMatchObject({ kind: "refused", reason: "delta" });
          }
        }
      }),
      { numRuns: 80 },
    );
    expect(refused).toBeGreaterThan(20);
  }, 60_000);
});
