import type { Config } from "../config/config.ts";
import type { ManifestBackup } from "../id-lists/manifest.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { RedisBackup } from "../redis/backup.ts";
import { RedisConnection } from "../redis/connection.ts";
import { RedisFleetChannel, RedisNotices } from "../redis/fleet.ts";
import { LeaderKey } from "../redis/leader-key.ts";
import { RedisManifests } from "../redis/manifests.ts";
import type { SpecBackup } from "../specs/backup.ts";
import type { FleetChannel } from "../specs/fleet.ts";
import { LocalBackup } from "../sqlite/backup.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

/** What stands behind `CACHE`. */
export interface BackupParts {
  readonly backup: SpecBackup;
  readonly manifests: ManifestBackup;
  /** To be told when upstream answers this relay, or another one of its fleet. */
  readonly onAnswer?: () => void;
  /** Only with `--fleet-polling`. */
  readonly board?: FleetChannel;
  /** Calls back each time that the backup is there again after it was gone. */
  readonly onReturn?: (listener: () => void) => void;
  /** How often what is held is kept from expiring, ms. */
  readonly touchEveryMs: number;
}

interface BackupOpening {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "redis" | "sqlite">;
  /** Owns what is opened. */
  readonly running: AsyncDisposableStack;
}

/** A touch or two may fail before what is held expires. */
const TOUCHES_PER_TTL = 4;

/** A Redis that lost its data, at a restart or a failover, has it again after so long. */
const MAX_TOUCH_EVERY_MS = 60_000;

/** An answer of upstream may come late, and one may fail. */
const ANSWERS_COUNT_INTERVALS = 2;

/** How often the local backup is told what is still in use, by which it chooses what makes room. */
const LOCAL_TOUCH_MS = 3_600_000;

/** The backup that `CACHE` names. It connects, or opens its file, in the background: a relay serves without it. */
export function openBackup(config: Config, opening: BackupOpening): BackupParts | undefined {
  const { clock, supervisor, telemetry, running } = opening;
  switch (config.cache) {
    case "disabled":
      return undefined;
    case "local": {
      const { path, maxBytes } = config.local;
      const backup = new LocalBackup({
        path,
        maxBytes,
        maxKeys: config.maxKeys,
        maxPayloadBytes: config.maxPayloadBytes,
        clock,
        supervisor,
        onProblem: telemetry.sqlite.emit,
      });
      running.use(backup);
      const onReturn = (listener: () => void) => backup.onOpened(listener);
      return { backup, manifests: backup, touchEveryMs: LOCAL_TOUCH_MS, onReturn };
    }
    case "redis":
      return openRedisBackup(config, opening);
  }
}

function openRedisBackup(
  { redis: settings, maxPayloadBytes: maxBytes, pollIntervalMs }: Config,
  opening: BackupOpening,
): BackupParts {
  const { clock, supervisor, running } = opening;
  const { emit } = opening.telemetry.redis;
  const { schemas, doubleWriteLegacy, cacheTtlMs, leaderKeyTtlMs } = settings;
  const redis = running.use(new RedisConnection(settings.connection, clock, emit));
  const leader = running.use(
    new LeaderKey({
      redis,
      ttlMs: leaderKeyTtlMs,
      responseValidMs: ANSWERS_COUNT_INTERVALS * pollIntervalMs,
      clock,
      supervisor,
      emit,
    }),
  );
  const backup = new RedisBackup({
    redis,
    schemas,
    doubleWriteLegacy,
    ttlMs: cacheTtlMs,
    maxBytes,
    clock,
    emit: (event) => {
      emit(event);
      // Whether Redis takes no writes at all, the leader key finds out.
      if (event.kind === "redis_write_failed") leader.tryNow();
    },
  });
  const manifests = new RedisManifests(redis, cacheTtlMs);
  const touchEveryMs = Math.min(cacheTtlMs / TOUCHES_PER_TTL, MAX_TOUCH_EVERY_MS);
  const onReturn = (listener: () => void) => redis.onUp(listener);
  const onAnswer = () => leader.upstreamResponded();
  const parts = { backup, manifests, touchEveryMs, onReturn, onAnswer };
  if (!settings.fleetPolling) return parts;
  const notices = running.use(new RedisNotices(redis, clock, supervisor));
  return { ...parts, board: new RedisFleetChannel(redis, notices, clock) };
}
