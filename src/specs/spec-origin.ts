import type { Snapshot, SnapshotSource } from "./snapshot.ts";

/** What is said with every answer, so that a client can tell how stale it may be. */
export interface SpecOrigin {
  /** Where this version came from; behind other relays, where the first of them had it from. */
  readonly source: SnapshotSource;
  /** RFC 3339: what is held is at least as new as the newest that upstream had then. Undefined before it said so. */
  readonly confirmedAt: string | undefined;
}

/** What a held feed has to say of itself. */
export interface Confirmed {
  readonly snapshot: Snapshot;
  /** Ms since the Unix epoch. */
  readonly confirmedAt: number | undefined;
}

interface Prepared {
  readonly of: Confirmed;
  readonly origin: SpecOrigin;
}

const prepared = new WeakMap<Confirmed, Prepared>();

/** Put into words once for each version and each word of upstream, not for each request. */
export function originOf(held: Confirmed): SpecOrigin {
  const { snapshot, confirmedAt } = held;
  const known = prepared.get(held);
  if (known?.of.snapshot === snapshot && known.of.confirmedAt === confirmedAt) return known.origin;
  const text = confirmedAt === undefined ? undefined : new Date(confirmedAt).toISOString();
  const origin = { source: snapshot.relayedSource ?? snapshot.source, confirmedAt: text };
  prepared.set(held, { of: { snapshot, confirmedAt }, origin });
  return origin;
}
