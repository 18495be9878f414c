import { hash } from "node:crypto";
import type { SharedBytes } from "../platform/shared-bytes.ts";
import type { Delta, VersionId } from "./deltas/delta.ts";
import type { Feed, SpecFormat } from "./feed.ts";

/** The HTTP content codings in which a payload is kept. */
export type ContentCoding = "identity" | "gzip" | "br" | "zstd" | "statsig-br";

/** Where a version came from; `bootstrap` is a file of `--bootstrap-path`. */
export type SnapshotSource = "upstream" | "redis" | "local" | "bootstrap";

/** A payload that was checked, in every coding that clients may request. All of it can be posted to other threads. */
export interface PreparedPayload {
  /** Last config update time, ms since the Unix epoch: the version of the payload. */
  readonly lcut: number;
  /** The `checksum` of the payload, which with the lcut identifies its content; empty if it has none. */
  readonly checksum: string;
  /** The format of the body; upstream may send JSON for a protobuf feed. */
  readonly format: SpecFormat;
  /** JSON: the plain UTF-8 text. Protobuf: the brotli body exactly as upstream sent it, or made of a delta from upstream. */
  readonly bytes: SharedBytes;
  /** The gRPC frame that carries `bytes`, which are a view of it. */
  readonly grpcFrame: SharedBytes;
  /** JSON: gzip, br and zstd of `bytes`; for very large bodies gzip and the coding upstream sent. Protobuf: empty. */
  readonly compressed: Readonly<Partial<Record<ContentCoding, SharedBytes>>>;
  /** {@link digestBytes} of `bytes`, from which entity tags are made. */
  readonly digest: string;
  /** Protobuf: what clients need that hold an earlier version. Undefined if deltas are off. */
  readonly deltas?: readonly Delta[];
  /** Protobuf: what changed since earlier versions, as `VersionHistory` encodes it. Undefined if deltas are off. */
  readonly history?: SharedBytes;
  /** Protobuf: identifies the content of the version for relays that get a delta to it. Undefined if deltas are off. */
  readonly contentDigest?: string;
}

/** Returns 16 base64url characters of the SHA-256 digest. They are stored in Redis, so that they must not change. */
export function digestBytes(bytes: Uint8Array): string {
  return hash("sha256", bytes, "base64url").slice(0, 16);
}

/** One version of a feed. Immutable, and shared by all responses. */
export interface Snapshot extends PreparedPayload {
  readonly feed: Feed;
  readonly source: SnapshotSource;
  /** The source that an upstream relay reported for this version. */
  readonly relayedSource?: SnapshotSource | undefined;
  /** Host and port of the endpoint that sent this version; undefined if upstream has only one, or another source sent it. */
  readonly sourceHost?: string | undefined;
  /** Ms since the Unix epoch. */
  readonly receivedAt: number;
  /** What upstream calls this version, if the relay published it again under a newer lcut. */
  readonly original?: VersionId | undefined;
}

/** Returns what upstream calls a version, which requests to upstream have to name. */
export function upstreamId({ original, lcut, checksum }: Snapshot): VersionId {
  return original ?? { lcut, checksum };
}

/** The response to a client that is up to date, on every protocol. */
export const NO_UPDATE_JSON = '{"has_updates":false}';

/**
 * Returns whether a client that holds the lcut `sinceTime` needs this version. A client without configs sends 0 or nothing, and
 * always gets a version: after "no update", SDKs would report success with zero configs. The lcut can stand for several contents,
 * which `checksum` distinguishes if the client sends the one that it holds.
 */
export function isNewsTo(sinceTime: number, snapshot: Snapshot, checksum = ""): boolean {
  if (sinceTime <= 0 || sinceTime < snapshot.lcut) return true;
  const isComparable = sinceTime === snapshot.lcut && checksum !== "" && snapshot.checksum !== "";
  return isComparable && checksum !== snapshot.checksum;
}

/** Returns whether two versions with one lcut have different contents. Without a checksum, that is not known. */
export function isOtherContent(one: VersionId, other: VersionId): boolean {
  const areComparable = one.lcut === other.lcut && one.checksum !== "" && other.checksum !== "";
  return areComparable && one.checksum !== other.checksum;
}

/**
 * Returns whether a version takes the place of one with the same lcut that is from a file: any that is from elsewhere does, and another
 * content of a file. A file may have been edited without another lcut, so that checksums do not distinguish such contents.
 */
export function supersedesFile(next: Snapshot, held: Snapshot): boolean {
  if (next.lcut !== held.lcut || held.source !== "bootstrap") return false;
  return next.source !== "bootstrap" || next.digest !== held.digest;
}

/** Sent with every response, so that a client can see how stale it may be. */
export interface SpecOrigin {
  /**
   * The source of this version; behind other relays, the source that the first of them reported. If upstream has several endpoints,
   * the one that sent the version follows: `upstream; host=relay.example:8000`.
   */
  readonly source: string;
  /** RFC 3339 time at which upstream last confirmed that this version is the newest; undefined if it has not yet. */
  readonly confirmedAt: string | undefined;
}

/** The state of a held feed that responses depend on. */
export interface Confirmed {
  readonly snapshot: Snapshot;
  /** Ms since the Unix epoch. */
  readonly confirmedAt: number | undefined;
}

interface CachedOrigin {
  readonly state: Confirmed;
  readonly origin: SpecOrigin;
}

const origins = new WeakMap<Confirmed, CachedOrigin>();

/** Returns the origin of a held version. Formatted once per version and confirmation, not per request. */
export function toOrigin(held: Confirmed): SpecOrigin {
  const { snapshot, confirmedAt } = held;
  const cached = origins.get(held);
  if (cached?.state.snapshot === snapshot && cached.state.confirmedAt === confirmedAt) return cached.origin;
  const text = confirmedAt === undefined ? undefined : new Date(confirmedAt).toISOString();
  const word = snapshot.relayedSource ?? snapshot.source;
  const { sourceHost: host } = snapshot;
  const origin = { source: host === undefined ? word : `${word}; host=${host}`, confirmedAt: text };
  origins.set(held, { state: { snapshot, confirmedAt }, origin });
  return origin;
}
