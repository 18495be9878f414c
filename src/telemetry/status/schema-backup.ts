import type { TimedError, Timestamp } from "./timestamp.ts";

/** The backup in Redis. */
export interface RedisStatus {
  /** Without user name and password. */
  readonly address: string;
  /** `refuses_writes`: reads work, so that the backup goes stale. */
  readonly state: "ok" | "refuses_writes" | "down";
  /** When `state` stopped being `ok`. */
  readonly since: Timestamp;
  /** Why `state` is not `ok`. */
  readonly reason: string | null;
  /** Whether this relay shares polls (`--fleet-polling`). */
  readonly fleet_polling: boolean;
  /** The number of feeds whose cached version Redis may not have; null before the backup is in use. */
  readonly behind_feeds: number | null;
  /** How long the oldest write has been pending; 0 if none is. */
  readonly lag_s: number | null;
  /** The last successful write of a version. */
  readonly last_write_at: Timestamp;
  /** The last successful read. */
  readonly last_read_at: Timestamp;
  /** Kept after Redis has recovered. */
  readonly last_error: TimedError | null;
}

/** The backup on the local disk. */
export interface LocalStatus {
  /** The folder of `--local-cache-path`. */
  readonly path: string;
  /** `failing`: cached versions could not be written. `unusable`: the relay serves from memory only. */
  readonly state: "ok" | "failing" | "unusable";
  /** When `state` stopped being `ok`. */
  readonly since: Timestamp;
  /** Why `state` is not `ok`. */
  readonly reason: string | null;
  /** The size of the database and its write-ahead log. */
  readonly bytes: number | null;
  /** `--local-cache-max-in-mb`, in bytes. */
  readonly max_bytes: number;
  /** The number of feeds whose cached version is not stored; null before the backup is in use. */
  readonly behind_feeds: number | null;
  /** How long the oldest write has been pending; 0 if none is. */
  readonly lag_s: number | null;
  /** Kept after the backup has recovered. */
  readonly last_error: TimedError | null;
}
