import type { Clock } from "../../platform/clock.ts";
import type { EmitRedisEvent, RedisEvent } from "../../redis/events.ts";
import type { BackupFailed } from "../../specs/backup.ts";
import { describeFeed, type Feed } from "../../specs/feed.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLog } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import { type FeedTags, type KeyTags, toPathTag, toTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

const DOWN = {
  begins: "Redis unavailable, serving from memory",
  lasts: "Redis still unavailable",
  ends: "Redis available again",
  causeField: "reason",
};

const READ_ONLY = {
  begins: "Redis rejects writes, backup going stale",
  lasts: "Redis still rejects writes",
  ends: "Redis accepts writes again",
  causeField: "reason",
};

const TOKEN_FAILED = {
  begins: "access token for Redis not renewed, last one stays in use",
  lasts: "access token for Redis still not renewed",
  ends: "access token for Redis renewed again",
  causeField: "reason",
};

/** About as many as a user without any permission lacks; more are logged only if permissions come and go. */
const MISSING_PER_MIN = 10;
const GRANTED_PER_MIN = 3;

/** Logs, metrics and status of Redis. The public fields are what the status page shows; times are ms since the Unix epoch. */
export class RedisTelemetry {
  readonly emit: EmitRedisEvent;
  /** Undefined while it is not known, or if Redis is not in use. */
  isUp: boolean | undefined;
  down: Incident | undefined;
  rejectsWrites: Incident | undefined;
  tokenFailed: Incident | undefined;
  /** What each missing permission of the Redis user costs. */
  readonly missingPermissions = new Map<string, Incident>();
  lastWriteAt: number | undefined;
  lastReadAt: number | undefined;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  readonly #clock: Clock;
  readonly #downLog: OutageLog;
  readonly #readOnlyLog: OutageLog;
  readonly #tokenLog: OutageLog;
  readonly #missingLog: ThrottledLog;
  readonly #grantedLog: ThrottledLog;

  constructor({ logger, registry, keys, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#keys = keys;
    this.#clock = clock;
    this.#downLog = new OutageLog(logger, clock, DOWN);
    this.#readOnlyLog = new OutageLog(logger, clock, READ_ONLY);
    this.#tokenLog = new OutageLog(logger, clock, TOKEN_FAILED);
    this.#missingLog = new ThrottledLog(logger, clock, MISSING_PER_MIN);
    this.#grantedLog = new ThrottledLog(logger, clock, GRANTED_PER_MIN);
    registry.gauge("RedisTokenFailing", () =>
      this.isUp === undefined ? [] : [[{}, this.tokenFailed === undefined ? 0 : 1]],
    );
    registry.gauge("RedisPermissionsMissing", () =>
      this.isUp === undefined ? [] : [[{}, this.missingPermissions.size]],
    );
  }

  /** Counts a failed read or write in the outage that explains it; such failures have no lines of their own. */
  logFailure({ action, feed, detail }: BackupFailed): void {
    const fields = { action, feed: describeFeed(feed), detail };
    const { reason } = this.down ?? this.rejectsWrites ?? {};
    const outages = this.down === undefined ? this.#readOnlyLog : this.#downLog;
    if (reason !== undefined) outages.failed("redis", { cause: reason, fields: { reason, ...fields } });
    else this.#logger.log("debug", "backup operation failed", fields);
  }

  #record(event: RedisEvent): void {
    switch (event.kind) {
      case "redis_down":
        this.isUp = false;
        this.down = this.#since(event.reason, this.down);
        this.#downLog.failed("redis", { cause: event.reason, fields: { reason: event.reason }, count: 0 });
        return;
      case "redis_up":
        this.isUp = true;
        this.down = undefined;
        if (!this.#downLog.ended("redis")) debugLine(this.#logger, event);
        return;
      case "redis_refuses_writes":
        this.isUp = false;
        this.rejectsWrites = this.#since(event.reason, this.rejectsWrites);
        this.#readOnlyLog.failed("redis", {
          cause: event.reason,
          fields: { reason: event.reason },
          count: 0,
        });
        return;
      case "redis_accepts_writes":
        this.isUp = true;
        this.rejectsWrites = undefined;
        if (!this.#readOnlyLog.ended("redis")) debugLine(this.#logger, event);
        return;
      case "redis_token_failed":
      case "redis_token_renewed":
        this.#recordToken(event);
        return;
      case "redis_permission_missing": {
        const { permission, cost } = event;
        this.missingPermissions.set(permission, this.#since(cost));
        this.#missingLog.log("warn", "Redis permission missing", { permission, cost });
        return;
      }
      case "redis_permission_given": {
        const { permission } = event;
        this.missingPermissions.delete(permission);
        this.#grantedLog.log("info", "Redis permission granted", { permission });
        return;
      }
      default:
        this.#recordOperation(event);
        debugLine(this.#logger, event);
    }
  }

  #recordToken(
    event: Extract<RedisEvent, { readonly kind: "redis_token_failed" | "redis_token_renewed" }>,
  ): void {
    if (event.kind === "redis_token_failed") {
      this.tokenFailed = this.#since(event.reason, this.tokenFailed);
      this.#tokenLog.failed("redis", { cause: event.reason, fields: { reason: event.reason } });
      return;
    }
    this.tokenFailed = undefined;
    if (!this.#tokenLog.ended("redis")) debugLine(this.#logger, event);
    const { ignoredMarginMs, lifeMs, renewInMs } = event;
    if (ignoredMarginMs === undefined) return;
    const fields = {
      given_s: ignoredMarginMs / 1_000,
      token_life_s: lifeMs / 1_000,
      used_s: (lifeMs - renewInMs) / 1_000,
    };
    this.#logger.log("warn", "REDIS_OAUTH_REFRESH_MARGIN_IN_S too long for the token, ignored", fields);
  }

  /** A feed that was written or found belongs to a valid key; the other operations may be those of an unknown key. */
  #recordOperation(event: Extract<RedisEvent, { readonly feed: Feed }>): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "redis_wrote":
        registry.time("RedisCacheWriteSucceed", toTags(event.feed), event.tookMs, toVersion(event));
        this.lastWriteAt = this.#clock.now();
        return;
      case "redis_write_skipped":
        registry.count("RedisCacheWriteSkipped", toTags(event.feed), 1, toVersion(event));
        return;
      case "redis_write_failed":
        registry.count("RedisCacheWriteFailed", toTags(event.feed), 1, toVersion(event));
        return;
      case "redis_read":
        registry.time("RedisCacheReadSucceed", toTags(event.feed), event.tookMs, toVersion(event));
        this.lastReadAt = this.#clock.now();
        return;
      case "redis_read_miss":
        registry.count("RedisCacheReadMiss", this.#tagsIfKnown(event.feed));
        this.lastReadAt = this.#clock.now();
        return;
      case "redis_read_failed":
      case "redis_read_unusable":
        registry.count("RedisCacheReadFailed", this.#tagsIfKnown(event.feed));
        return;
      case "redis_touched":
        registry.count(event.isHeld ? "RedisCacheTtlRefreshed" : "RedisCacheTtlMissed", toTags(event.feed));
        return;
      case "redis_touch_failed":
        registry.count("RedisCacheTtlFailed", toTags(event.feed));
        return;
      case "redis_deleted":
        registry.count("RedisCacheDeleteSucceed", this.#tagsIfKnown(event.feed));
        return;
      case "redis_delete_failed":
        registry.count("RedisCacheDeleteFailed", this.#tagsIfKnown(event.feed));
    }
  }

  #tagsIfKnown(feed: Feed): FeedTags {
    return { ...this.#keys.of(feed.sdkKey), path: toPathTag(feed) };
  }

  /** An incident with another reason is still the same one. */
  #since(reason: string, before?: Incident): Incident {
    return { since: before?.since ?? this.#clock.now(), reason };
  }
}

function toVersion({ lcut }: { readonly lcut: number }): { readonly lcut: string } {
  return { lcut: String(lcut) };
}
