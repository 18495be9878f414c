import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { SPECS_FILE_NAME } from "./local/local-path.ts";
import { describeAddress } from "./redis/options.ts";
import type { BackupParts } from "./relay-backup.ts";
import type { RunningSpecs } from "./relay-specs.ts";
import type { BackupMemory } from "./telemetry/status/backup-memory.ts";
import { ageS, momentOf } from "./telemetry/status/moment.ts";
import type { LocalStatus, RedisStatus } from "./telemetry/status/status-report.ts";

export interface BackupStatusParts {
  readonly backup: BackupParts | undefined;
  readonly specs: RunningSpecs;
  readonly memory: BackupMemory;
  readonly now: number;
  readonly localBytes: number | null;
}

/** Null where CACHE is another. */
export function redisStatus(config: Config, parts: BackupStatusParts): RedisStatus | null {
  if (config.cache !== "redis") return null;
  const { memory } = parts;
  const trouble = memory.down ?? memory.refusesWrites;
  return {
    address: describeAddress(config.redis.connection),
    state: memory.down ? "down" : memory.refusesWrites ? "refuses_writes" : "ok",
    since: momentOf(trouble?.since),
    reason: trouble?.reason ?? null,
    fleet_polling: config.redis.fleetPolling,
    ...lagOf(parts),
    last_write_at: momentOf(memory.lastWriteAt),
    last_read_at: momentOf(memory.lastReadAt),
    last_error: memory.lastError,
  };
}

/** Null where CACHE is another. */
export function localStatus(config: Config, parts: BackupStatusParts): LocalStatus | null {
  if (config.cache !== "local") return null;
  const { memory, specs, localBytes: bytes } = parts;
  const { path, maxBytes } = config.local;
  const waitingSince = specs.backupLag()?.since;
  const isFailing = waitingSince !== undefined && memory.lastErrorAt >= waitingSince;
  return {
    path,
    state: memory.unusable ? "unusable" : isFailing ? "failing" : "ok",
    since: momentOf(memory.unusable?.since ?? (isFailing ? waitingSince : undefined)),
    reason: memory.unusable?.reason ?? (isFailing ? (memory.lastError?.detail ?? null) : null),
    bytes,
    max_bytes: maxBytes,
    ...lagOf(parts),
    last_error: memory.lastError,
  };
}

function lagOf({ specs, now }: BackupStatusParts): Pick<RedisStatus, "behind_feeds" | "lag_s"> {
  const lag = specs.backupLag();
  if (lag === undefined) return { behind_feeds: null, lag_s: null };
  return { behind_feeds: lag.feeds, lag_s: lag.since === undefined ? 0 : ageS(now, lag.since) };
}

/** Of the file and its log; null where there is none. */
export async function localBytes({ cache, local }: Config): Promise<number | null> {
  if (cache !== "local") return null;
  const file = join(local.path, SPECS_FILE_NAME);
  const found = await Promise.all([file, `${file}-wal`].map((path) => stat(path).catch(() => undefined)));
  const sizes = found.flatMap((each) => each?.size ?? []);
  return sizes.length === 0 ? null : sizes.reduce((sum, size) => sum + size);
}
