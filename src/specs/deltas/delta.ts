import type { SharedBytes } from "../../platform/shared-bytes.ts";

/** What identifies the content of a version: one lcut can stand for several contents. */
export interface VersionId {
  readonly lcut: number;
  /** The `checksum` of the payload; empty if it has none. */
  readonly checksum: string;
}

/** A version from which a delta leads to the newest one. */
export interface DeltaBase extends VersionId {
  /** Whether the lcut alone identifies the version, as far as the relay has seen. */
  readonly isOnlyOfLcut: boolean;
}

/** What clients need that hold one of some earlier versions. */
export interface Delta {
  readonly bases: readonly DeltaBase[];
  /** A statsig-br body (docs/protocol.md, Deltas). */
  readonly bytes: SharedBytes;
  /** As that of a snapshot. */
  readonly digest: string;
}

/**
 * Returns the delta for a client that holds this version. A client that sends no checksum gets one only if its lcut stands for one
 * content. Returns undefined if there is none: the client needs the whole version.
 */
export function findDelta(deltas: readonly Delta[], { lcut, checksum }: VersionId): Delta | undefined {
  const isBase = (base: DeltaBase) =>
    base.lcut === lcut && (checksum === "" ? base.isOnlyOfLcut : base.checksum === checksum);
  return deltas.find(({ bases }) => bases.some(isBase));
}
