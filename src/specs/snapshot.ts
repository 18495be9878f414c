import type { Feed, SpecFormat } from "./feed.ts";

/** The HTTP content codings in which a payload is kept ready. */
export type ContentCoding = "identity" | "gzip" | "br" | "zstd" | "statsig-br";

/** Where a version came from. */
export type SnapshotSource = "upstream" | "redis" | "local";

/** A payload that was found whole and valid, in every coding in which clients may ask for it. */
export interface PreparedPayload {
  /** Last config update time: ms since the Unix epoch, the version of the payload. */
  readonly lcut: number;
  /** What the body is; upstream may answer JSON to a proto feed. */
  readonly format: SpecFormat;
  /** JSON: the plain UTF-8 text. Proto: the brotli body byte for byte as upstream sent it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** JSON: gzip, br and zstd of `bytes`; of a very large one gzip, and what upstream sent. Proto: none, it is coded itself. */
  readonly compressed: Readonly<Partial<Record<ContentCoding, Uint8Array<ArrayBuffer>>>>;
  /** Short digest of `bytes`, the base of entity tags. */
  readonly digest: string;
}

/** One version of a feed. Never changes; shared by every answer. */
export interface Snapshot extends PreparedPayload {
  readonly feed: Feed;
  readonly source: SnapshotSource;
  /** Where the relay that is upstream says that it came from. */
  readonly relayedSource?: SnapshotSource | undefined;
  /** Ms since the Unix epoch. */
  readonly receivedAt: number;
}

/** The answer to a client that is up to date, on every protocol. */
export const NO_UPDATE_JSON = '{"has_updates":false}';

/**
 * Whether a client at `sinceTime` needs this version. A client without configs says 0 or nothing and is
 * never told "no update": SDKs would report success with zero configs.
 */
export function isNewsTo(sinceTime: number, snapshot: Snapshot): boolean {
  return sinceTime <= 0 || sinceTime < snapshot.lcut;
}

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
export function toOrigin(held: Confirmed): SpecOrigin {
  const { snapshot, confirmedAt } = held;
  const known = prepared.get(held);
  if (known?.of.snapshot === snapshot && known.of.confirmedAt === confirmedAt) return known.origin;
  const text = confirmedAt === undefined ? undefined : new Date(confirmedAt).toISOString();
  const origin = { source: snapshot.relayedSource ?? snapshot.source, confirmedAt: text };
  prepared.set(held, { of: { snapshot, confirmedAt }, origin });
  return origin;
}
