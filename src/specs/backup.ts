import type { Feed } from "./feed.ts";
import type { RawPayload } from "./payload/payload.ts";
import type { Snapshot, SnapshotSource } from "./snapshot.ts";

/** A version as a backup gave it back; not looked into yet. */
export type BackupRead =
  | { readonly kind: "found"; readonly raw: RawPayload }
  /** Nothing there, or nothing newer than was asked for. */
  | { readonly kind: "none" }
  /** Something is there that can't be this feed's: another key's, another type, no version. It is never served. */
  | { readonly kind: "unusable"; readonly detail: string };

export type BackupWrite =
  | { readonly kind: "written" }
  /** At least as new a version is there; nothing was changed. */
  | { readonly kind: "not_newer"; readonly lcut: number };

/**
 * Keeps the newest version of each feed outside this process. Every method rejects where the backup does not
 * work just now; none waits for ever.
 */
export interface SpecBackup extends AsyncDisposable {
  readonly source: Exclude<SnapshotSource, "upstream">;

  /** What is kept of a feed, where that is newer than `newerThan` (an lcut; -1 for any). */
  read(feed: Feed, newerThan: number): Promise<BackupRead>;

  /**
   * Keeps a version, whole or not at all, unless at least as new a one is there. A version that is there with
   * the lcut `instead` counts as none: it was read, and found to be unusable.
   */
  write(snapshot: Snapshot, instead?: number): Promise<BackupWrite>;

  /**
   * Keeps from expiring what is there of a version that is held. False if the version must be written again: nothing is
   * there, or something older, or (as far as that is seen without reading all of it) something damaged.
   */
  touch(snapshot: Snapshot): Promise<boolean>;

  /** Forgets the feed. What is another SDK key's under the same name stays. */
  remove(feed: Feed): Promise<void>;

  /** Whether a relay has removed the feed since it was last written. False if only one relay uses the backup. */
  wasRemoved(feed: Feed): Promise<boolean>;
}

/** What happens to reads and writes of a backup. */
export type BackupEvent =
  | BackupFailed
  /** An entry that was read, or would be written, is not a valid version of its feed. It is not served. */
  | { readonly kind: "backup_unusable"; readonly feed: Feed; readonly detail: string }
  /** Another relay removed the entry since upstream rejects the SDK key. This relay writes it again once upstream confirms it. */
  | { readonly kind: "backup_removed_elsewhere"; readonly feed: Feed };

export interface BackupFailed {
  readonly kind: "backup_failed";
  readonly source: SpecBackup["source"];
  readonly feed: Feed;
  readonly action: "read" | "write" | "touch" | "remove";
  readonly detail: string;
}

export type EmitBackupEvent = (event: BackupEvent) => void;
