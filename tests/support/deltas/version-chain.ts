import { expect } from "bun:test";
import { brotliDecompressSync } from "node:zlib";
import type { KnownVersions } from "../../../src/specs/deltas/compute.ts";
import type { DeltaBase } from "../../../src/specs/deltas/delta.ts";
import { prepare } from "../../../src/specs/payload/prepare.ts";
import type { PreparedPayload } from "../../../src/specs/snapshot.ts";
import { MAX_PAYLOAD_BYTES } from "../upstream/payloads.ts";
import { raw } from "../upstream/raw-payloads.ts";
import { bodyOf, type ProjectVersion } from "./project-version.ts";
import { SdkSpecs } from "./sdk-specs.ts";

export const FEED = "feed";

/** A version as a relay prepared it. */
export interface Prepared {
  readonly version: ProjectVersion;
  readonly payload: PreparedPayload;
  /** The versions that its history has known of. */
  readonly seen: ReadonlySet<ProjectVersion>;
}

/** What a relay knows when it prepares a version. */
export interface Knowledge {
  readonly depth: number;
  readonly priors: readonly Prepared[];
  /** Histories that cannot be used. */
  readonly damaged?: readonly Uint8Array[];
}

/** Prepares a version; throws if it is refused, or if its deltas failed. */
export async function prepareVersion(
  version: ProjectVersion,
  { depth, priors, damaged = [] }: Knowledge,
): Promise<Prepared> {
  const histories = [...damaged, ...priors.flatMap(({ payload }) => payload.history ?? [])];
  const known: KnownVersions | undefined = depth === 0 ? undefined : { feed: FEED, depth, histories };
  const preparation = await prepare({
    raw: raw(bodyOf(version), "statsig-br", { format: "proto" }),
    maxBytes: MAX_PAYLOAD_BYTES,
    known,
  });
  if (preparation.kind !== "prepared" || preparation.deltaFault !== undefined)
    throw new Error(`not prepared: ${JSON.stringify(preparation)}`);
  const { payload } = preparation;
  const inherited = priors.flatMap((prior) => (prior.payload.history ? [...prior.seen] : []));
  return { version, payload, seen: new Set([...inherited, version]) };
}

/** Returns the versions from which the payload has deltas. */
export const basesOf = ({ deltas = [] }: PreparedPayload): readonly DeltaBase[] =>
  deltas.flatMap(({ bases }) => bases);

/**
 * Checks every delta of a prepared version: an SDK that holds a version that `base` can mean has afterwards what it would have from
 * the whole payload. `all` are the versions that clients can hold. Returns the number of deltas that were applied.
 */
export function checkDeltas(prepared: Prepared, all: readonly ProjectVersion[], depth: number): number {
  const { version, payload } = prepared;
  const { deltas = [] } = payload;
  const bases = basesOf(payload);
  expect(bases.length).toBeLessThanOrEqual(depth);
  expect(new Set(bases.map(({ lcut, checksum }) => `${lcut} ${checksum}`)).size).toBe(bases.length);
  const decodedBytes = deltas.map(({ bytes }) => brotliDecompressSync(bytes).length);
  const sum = decodedBytes.reduce((one, other) => one + other, 0);
  expect(sum).toBeLessThanOrEqual(brotliDecompressSync(payload.bytes).length);
  let applied = 0;
  for (const { bases: ofDelta, bytes } of deltas) {
    expect(2 * bytes.length).toBeLessThanOrEqual(payload.bytes.length);
    for (const base of ofDelta) {
      expect(base).not.toMatchObject({ lcut: version.time, checksum: version.checksum });
      const holders = all.filter(({ time, checksum }) => time === base.lcut && checksum === base.checksum);
      expect(holders.length).toBeGreaterThan(0);
      const ambiguous = base.isOnlyOfLcut ? [...prepared.seen].filter(({ time }) => time === base.lcut) : [];
      for (const holder of new Set([...holders, ...ambiguous])) {
        applied++;
        checkApplied(holder, payload.bytes, bytes);
      }
    }
  }
  return applied;
}

function checkApplied(holder: ProjectVersion, whole: Uint8Array, delta: Uint8Array): void {
  const before = SdkSpecs.fromPayload(bodyOf(holder));
  const after = SdkSpecs.fromDelta(delta, before);
  const expected = SdkSpecs.fromPayload(whole, before);
  expect(after.entities()).toEqual(expected.entities());
  expect(after.topLevel).toEqual(expected.topLevel);
}
