import type { SharedBytes } from "../platform/shared-bytes.ts";
import type { Feed } from "./feed.ts";
import type { RawPayload } from "./payload/payload.ts";
import type { Snapshot, SnapshotSource } from "./snapshot.ts";

/** A version read from a backup, not checked yet. */
export type BackupRead =
  | {
      readonly kind: "found";
      readonly raw: RawPayload;
      /** What {@link SpecBackup.readHistory} returns. */
      readonly history?: Uint8Array<ArrayBuffer>;
      /** True if it may belong to another SDK key. If so, it is not served, and not overwritten by an older version. */
      readonly isUnverified?: true;
      /** Reads the next older copy, in case this one is unusable. */
      readonly next?: () => Promise<BackupRead>;
    }
  /** The backup has no version, or none that is newer than requested. */
  | { readonly kind: "none" }
  /** The entry cannot be this feed's: it has another key, another type or no version. It is never served. */
  | { readonly kind: "unusable"; readonly detail: string; readonly next?: () => Promise<BackupRead> };

export type BackupWrite =
  /** `replacedContent`: the backup had another content with this lcut, which other relays may hold. */
  | { readonly kind: "written"; readonly replacedContent?: true }
  /** The backup has this version or a newer one; nothing was changed. */
  | { readonly kind: "not_newer"; readonly lcut: number };

/**
 * What is overwritten although it is not older: a stored version with this lcut, which was read and is unusable, or any other
 * content with the lcut of the version to write, which upstream sent later.
 */
export type Overwritable = number | "other_content";

/**
 * Keeps the newest version of each feed outside this process. Every method rejects if the backup fails at the moment, and
 * settles within the backup's own time limits.
 */
export interface SpecBackup extends AsyncDisposable {
  readonly source: Exclude<SnapshotSource, "upstream" | "bootstrap">;
  /** True if the backup keeps several copies of a version, and some may be missing or older. */
  readonly hasCopies?: boolean;

  /** Returns the stored version of a feed if it is newer than `newerThan` (an lcut; -1 for any version). */
  read(feed: Feed, newerThan: number): Promise<BackupRead>;

  /**
   * Returns the history that was stored with the entry of a feed, or undefined if there is none. It may be that of another version,
   * or damaged, or under a name that two SDK keys share another feed's: that shows when it is decoded.
   */
  readHistory(feed: Feed): Promise<Uint8Array<ArrayBuffer> | undefined>;

  /**
   * Stores a version atomically, unless the backup has one that is at least as new. `instead` names an exception. Whether a stored
   * version with the same lcut has another content shows from its bytes. The history of the version is stored with it where there
   * is room, see {@link storableHistory}; a history never keeps a version from being stored.
   */
  write(snapshot: Snapshot, instead?: Overwritable): Promise<BackupWrite>;

  /**
   * Keeps the entry of a held version from expiring. Returns false if the version must be written again: the entry is missing,
   * older, or damaged (as far as that shows without reading all of it).
   */
  touch(snapshot: Snapshot): Promise<boolean>;

  /** Removes the feed, but not an entry of another SDK key under the same name. */
  remove(feed: Feed): Promise<void>;

  /** Returns whether a relay has removed the feed since it was last written. Always false if only one relay uses the backup. */
  wasRemoved(feed: Feed): Promise<boolean>;
}

/** A longer history is neither stored nor read. */
export const MAX_HISTORY_BYTES = 8 * 1024 * 1024;

/** Returns the history to store with a version, or undefined if it has none or one that is too long. */
export function storableHistory({ history }: Snapshot): SharedBytes | undefined {
  return history !== undefined && history.length <= MAX_HISTORY_BYTES ? history : undefined;
}

/** What happens to reads and writes of a backup. */
export type BackupEvent =
  | BackupFailed
  /** An entry that was read, or would be written, is not a valid version of its feed. It is not served. */
  | { readonly kind: "backup_unusable"; readonly feed: Feed; readonly detail: string }
  /** Another relay removed the entry since upstream rejects its SDK key. It is written again once upstream confirms it. */
  | { readonly kind: "backup_removed_elsewhere"; readonly feed: Feed };

export interface BackupFailed {
  readonly kind: "backup_failed";
  readonly source: SpecBackup["source"];
  readonly feed: Feed;
  readonly action: "read" | "write" | "touch" | "remove";
  readonly detail: string;
}

export type EmitBackupEvent = (event: BackupEvent) => void;
