import type { Clock } from "../../platform/clock.ts";
import type { RedisEvent } from "../../redis/events.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { LocalEvent, LocalWork } from "../../sqlite/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { KeyTags } from "../metrics/tags.ts";
import { type HappenedError, toIso } from "../status/schema.ts";
import type { BackupFailed, BackupUseEvent } from "../telemetry.ts";
import { measureRedis, RedisLog } from "./redis.ts";

const LOCAL = {
  begins: "the local backup does not work",
  lasts: "the local backup still does not work",
  ends: "the local backup works again",
};

/** Log lines of what an operator must know of the backup, Redis or local. */
export class BackupLog {
  readonly #logger: Logger;
  readonly #redis: RedisLog;
  readonly #local: OutageLog;
  readonly #throttled: ThrottledLogs;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#redis = new RedisLog(logger, clock);
    this.#local = new OutageLog(logger, clock, LOCAL);
    this.#throttled = new ThrottledLogs(logger, clock);
  }

  write(event: BackupUseEvent | LocalEvent | RedisEvent): void {
    switch (event.kind) {
      case "backup_unusable": {
        const message = "an entry of the backup can't be used, it is not served";
        const fields = { feed: describeFeed(event.feed), detail: event.detail };
        this.#throttled.of(event.kind).log("warn", message, fields);
        return;
      }
      case "backup_removed_elsewhere": {
        const message =
          "another relay removed a key's config from the backup, since upstream refuses the key";
        this.#throttled.of(event.kind).log("warn", message, { feed: describeFeed(event.feed) });
        return;
      }
      case "backup_failed":
        if (event.source === "redis") this.#redis.writeFailure(event);
        else this.#writeFailure(event);
        return;
      case "local_failing":
      case "local_recovered":
      case "local_unusable":
      case "local_usable":
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
      case "local_evicted":
        this.#writeLocal(event);
        return;
      default:
        this.#redis.write(event);
    }
  }

  #writeLocal(event: LocalEvent): void {
    const log = this.#throttled.of(event.kind);
    switch (event.kind) {
      case "local_failing": {
        const { doing, detail } = event;
        this.#local.failed(doing, { cause: doing, fields: { detail }, count: 0 });
        return;
      }
      case "local_recovered":
        if (!this.#local.ended(event.doing)) debugLine(this.#logger, event);
        return;
      case "local_usable":
        log.log("info", "the local backup is in use now", {});
        return;
      case "local_evicted": {
        const { versions, detail } = event;
        log.log("info", "the local backup made room for newer keys", { versions, detail });
        return;
      }
      default: {
        const { kind, detail } = event;
        const setAsideAs = kind === "local_corrupt_set_aside" ? event.setAsideAs : undefined;
        log.log("warn", kind.replaceAll("_", " "), { set_aside_as: setAsideAs, detail });
      }
    }
  }

  #writeFailure({ action, feed, detail }: BackupFailed): void {
    const fields = { action, feed: describeFeed(feed), detail };
    const doing = action === "read" ? "reading" : "writing";
    if (this.#local.isGoingOn(doing)) this.#local.failed(doing, { cause: doing, fields });
    else this.#logger.log("debug", "the backup does not work", fields);
  }
}

/** What becomes of the backup, whichever it is, as measurements. */
export class BackupMetrics {
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  /** By what it is kept in; unknown until it was first told. */
  readonly #up = new Map<"redis" | "local", boolean>();
  readonly #missingPermissions = new Set<string>();
  /** What the local backup can't do just now. */
  readonly #failing = new Set<LocalWork | "opening">();

  constructor(registry: MetricRegistry, keys: KeyTags) {
    this.#registry = registry;
    this.#keys = keys;
    registry.gauge("BackupUp", () =>
      [...this.#up].map(([source, isUp]) => [{ source }, Number(isUp)] as const),
    );
    registry.gauge("RedisPermissionsMissing", () =>
      this.#up.has("redis") ? [[{}, this.#missingPermissions.size] as const] : [],
    );
  }

  /** There is a backup: it counts as working until it fails. */
  expect(source: "redis" | "local"): void {
    this.#up.set(source, this.#up.get(source) ?? true);
  }

  write(event: BackupUseEvent | RedisEvent | LocalEvent): void {
    switch (event.kind) {
      case "backup_unusable":
        this.#registry.count("BackupUnusable", { source: "entry" });
        return;
      case "backup_removed_elsewhere":
        this.#registry.count("SdkKeyUnauthorized", { state: "removed_elsewhere" });
        return;
      case "backup_failed":
        this.#registry.count("BackupFailed", { source: event.source, action: event.action });
        return;
      case "redis_down":
      case "redis_refuses_writes":
        this.#up.set("redis", false);
        return;
      case "redis_up":
      case "redis_accepts_writes":
        this.#up.set("redis", true);
        return;
      case "redis_permission_missing":
        this.#missingPermissions.add(event.permission);
        return;
      case "redis_permission_given":
        this.#missingPermissions.delete(event.permission);
        return;
      case "local_unusable":
        this.#fails("opening");
        return;
      case "local_usable":
        this.#works("opening");
        return;
      case "local_failing":
        this.#fails(event.doing);
        return;
      case "local_recovered":
        this.#works(event.doing);
        return;
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
        this.#registry.count("BackupUnusable", { source: "local" });
        return;
      case "local_evicted":
        return;
      default:
        measureRedis(event, this.#registry, this.#keys);
    }
  }

  #fails(doing: LocalWork | "opening"): void {
    this.#failing.add(doing);
    this.#up.set("local", false);
  }

  #works(doing: LocalWork | "opening"): void {
    this.#failing.delete(doing);
    this.#up.set("local", this.#failing.size === 0);
  }
}

/** Since when something is so, and why. */
export interface Condition {
  readonly since: number;
  readonly reason: string;
}

/** Remembers how the backup does, whichever it is. */
export class BackupMemory {
  readonly #clock: Clock;
  down: Condition | undefined;
  refusesWrites: Condition | undefined;
  unusable: Condition | undefined;
  /** What it costs that the Redis user lacks a permission, by permission. */
  readonly missingPermissions = new Map<string, Condition>();
  /** The last entry that could not be served. */
  unusableEntry: Condition | undefined;
  lastWriteAt: number | undefined;
  lastReadAt: number | undefined;
  lastErrorAt = 0;
  lastError: HappenedError | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  write(event: BackupUseEvent | LocalEvent | RedisEvent): void {
    switch (event.kind) {
      case "redis_down":
        this.down = this.#from(event.reason);
        return;
      case "redis_up":
        this.down = undefined;
        return;
      case "redis_refuses_writes":
        this.refusesWrites = this.#from(event.reason);
        return;
      case "redis_accepts_writes":
        this.refusesWrites = undefined;
        return;
      case "redis_permission_missing":
        this.missingPermissions.set(event.permission, this.#from(event.cost));
        return;
      case "redis_permission_given":
        this.missingPermissions.delete(event.permission);
        return;
      case "redis_wrote":
        this.lastWriteAt = this.#clock.now();
        return;
      case "redis_read":
      case "redis_read_miss":
        this.lastReadAt = this.#clock.now();
        return;
      case "local_unusable":
        this.unusable = this.#from(event.detail);
        return;
      case "local_usable":
        this.unusable = undefined;
        return;
      case "backup_unusable":
        this.unusableEntry = this.#from(event.detail);
        this.#failed(event.detail);
        return;
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
      case "backup_failed":
        this.#failed(event.detail);
        return;
      // What else there is of Redis' own is told as a failure of the backup.
      default:
    }
  }

  #failed(detail: string): void {
    this.lastErrorAt = this.#clock.now();
    this.lastError = { at: toIso(this.lastErrorAt), detail };
  }

  #from(reason: string): Condition {
    return { since: this.#clock.now(), reason };
  }
}
