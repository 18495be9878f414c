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

/** A version with its deltas. */
interface Offer {
  readonly deltas?: readonly Delta[];
  /** Ms since the Unix epoch. */
  readonly receivedAt: number;
}

/**
 * How long clients get deltas to a version. Clients that poll have it by then. Some SDKs keep asking for the same delta if they
 * cannot apply it (docs/deltas.md, If an SDK cannot apply a delta): they get the whole version then.
 */
const OFFERED_MS = 10 * 60_000;

/**
 * Returns the delta to a version for a client that holds `client`. A client that sends no checksum gets one only if its lcut stands
 * for one content. Returns undefined if there is none: the client needs the whole version. `now` is ms since the Unix epoch.
 */
export function findDelta({ deltas, receivedAt }: Offer, client: VersionId, now: number): Delta | undefined {
  if (deltas === undefined || now - receivedAt > OFFERED_MS) return undefined;
  const isHeld = ({ lcut, checksum, isOnlyOfLcut }: DeltaBase) =>
    lcut === client.lcut && (client.checksum === "" ? isOnlyOfLcut : checksum === client.checksum);
  return deltas.find(({ bases }) => bases.some(isHeld));
}
