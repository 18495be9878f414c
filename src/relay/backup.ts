import { randomUUID } from "node:crypto";
import type { AllowList } from "../access/allow-list.ts";
import type { Config } from "../config/config.ts";
import type { ManifestBackup } from "../id-lists/manifest.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { TokenLogins } from "../redis/auth/token-logins.ts";
import { RedisBackup } from "../redis/backup.ts";
import { RedisConnection } from "../redis/connection.ts";
import { isSoleKey } from "../redis/entries/owner.ts";
import { RedisFleetChannel, RedisNotices } from "../redis/fleet.ts";
import { RedisManifests } from "../redis/manifests.ts";
import { RedisPins } from "../redis/pins.ts";
import { RedisPresence } from "../redis/presence.ts";
import { WriteProbe } from "../redis/write-probe.ts";
import type { SpecBackup } from "../specs/backup.ts";
import type { FleetChannel } from "../specs/fleet.ts";
import type { PinStorage } from "../specs/pins/pin-storage.ts";
import type { PushChannel } from "../specs/push.ts";
import { LocalBackup } from "../sqlite/backup.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { readWarmUpEntries } from "./warm-up/entries.ts";

/** The parts of the backup that `CACHE` selects. */
export interface BackupParts extends AsyncDisposable {
  readonly backup: SpecBackup;
  readonly manifests: ManifestBackup;
  readonly pins: PinStorage;
  /** Call this when upstream sends or confirms a version, to this relay or to another one of its fleet. */
  readonly onConfirmed?: () => void;
  /** Only with `--fleet-polling`. */
  readonly fleetChannel?: FleetChannel & PushChannel;
  /** Only with Redis: which relays share it. */
  readonly presence?: RedisPresence;
  /** Calls the listener each time the backup is back after an outage. */
  readonly onReturn?: (listener: () => void) => void;
  /** Applies another polling interval. */
  readonly reconfigure?: (config: Config) => void;
  /** Interval at which the TTL of held entries is refreshed, ms. */
  readonly touchEveryMs: number;
}

interface BackupOpening {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "redis" | "sqlite">;
  readonly allowList: AllowList;
}

/** One or two touches may fail before an entry expires. */
const TOUCHES_PER_TTL = 4;

/** How soon a Redis that lost its data, at a restart or a failover, has it again. */
const MAX_TOUCH_EVERY_MS = 60_000;

/** A response of upstream may be late, and one may be missing. */
const RESPONSE_VALID_INTERVALS = 2;

/** How often the entries in use are marked in the local backup, which evicts the least recently used. */
const LOCAL_TOUCH_MS = 3_600_000;

/** Opens the backup that `CACHE` selects. It connects, or opens its file, in the background: the relay serves without it. */
export function openBackup(config: Config, opening: BackupOpening): BackupParts | undefined {
  const { clock, supervisor, telemetry } = opening;
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
      return {
        backup,
        manifests: backup,
        pins: backup.pins,
        touchEveryMs: LOCAL_TOUCH_MS,
        onReturn: (listener) => backup.onOpened(listener),
        [Symbol.asyncDispose]: () => backup[Symbol.asyncDispose](),
      };
    }
    case "redis":
      return openRedisBackup(config, opening);
  }
}

function openRedisBackup(
  config: Config,
  { clock, supervisor, telemetry, allowList }: BackupOpening,
): BackupParts {
  const { redis: settings, maxPayloadBytes: maxBytes } = config;
  let { pollIntervalMs, preloadSdkKeys } = config;
  const warmUpSdkKeys = readWarmUpEntries(config.warmUpJson ?? "[]").entries.map(({ sdkKey }) => sdkKey);
  const { emit } = telemetry.redis;
  const running = new AsyncDisposableStack();
  const { schemas, doubleWriteLegacy, cacheTtlMs, leaderKeyTtlMs } = settings;
  const { entra } = settings.connection;
  const logins = entra && running.use(new TokenLogins({ entra, clock, supervisor, emit }));
  const redis = running.use(new RedisConnection(settings.connection, clock, emit, logins));
  const probe = running.use(
    new WriteProbe({
      redis,
      leaderKeyTtlMs,
      responseValidMs: () => RESPONSE_VALID_INTERVALS * pollIntervalMs,
      clock,
      supervisor,
      emit,
    }),
  );
  const backup = running.use(
    new RedisBackup({
      redis,
      schemas,
      doubleWriteLegacy,
      ttlMs: cacheTtlMs,
      maxBytes,
      isSoleKey: (sdkKey) => isSoleKey(sdkKey, [...allowList.keys, ...preloadSdkKeys, ...warmUpSdkKeys]),
      clock,
      emit: (event) => {
        emit(event);
        if (event.kind === "redis_write_failed") probe.tryNow();
      },
    }),
  );
  const id = randomUUID();
  const presence = running.use(new RedisPresence({ redis, id, clock, supervisor }));
  const notices = settings.fleetPolling && running.use(new RedisNotices(redis, clock, supervisor));
  return {
    backup,
    manifests: new RedisManifests(redis, schemas, cacheTtlMs),
    pins: new RedisPins(redis, notices || undefined, clock),
    touchEveryMs: Math.min(cacheTtlMs / TOUCHES_PER_TTL, MAX_TOUCH_EVERY_MS),
    onReturn: (listener) => redis.onUp(listener),
    onConfirmed: () => probe.upstreamResponded(),
    reconfigure: (next) => {
      ({ pollIntervalMs, preloadSdkKeys } = next);
    },
    presence,
    ...(notices && { fleetChannel: new RedisFleetChannel(redis, notices, clock, id) }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
