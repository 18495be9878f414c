import type { Clock } from "../../platform/clock.ts";
import type { RedisEvent } from "../../redis/events.ts";
import { describeFeed, type Feed } from "../../specs/feed.ts";
import { type DebugEvent, debugLine, type LogFields, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLog } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import { type KeyTags, toPathTag, toTags } from "../metrics/tags.ts";
import type { BackupFailed } from "../telemetry.ts";

const DOWN = {
  begins: "Redis can't be used, going on without",
  lasts: "Redis still can't be used",
  ends: "Redis works again",
};

const READ_ONLY = {
  begins: "Redis takes no writes, the backup there grows old",
  lasts: "Redis still takes no writes",
  ends: "Redis takes writes again",
};

/** A user without any permission lacks about as many at once; one whose permissions come and go is not followed beyond. */
const MISSING_PER_MIN = 10;
const GIVEN_PER_MIN = 3;

/** Log lines of Redis: what else fails while it does is counted there. */
export class RedisLog {
  readonly #logger: Logger;
  readonly #down: OutageLog;
  readonly #readOnly: OutageLog;
  readonly #missing: ThrottledLog;
  readonly #given: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#down = new OutageLog(logger, clock, DOWN);
    this.#readOnly = new OutageLog(logger, clock, READ_ONLY);
    this.#missing = new ThrottledLog(logger, clock, MISSING_PER_MIN);
    this.#given = new ThrottledLog(logger, clock, GIVEN_PER_MIN);
  }

  write(event: RedisEvent): void {
    switch (event.kind) {
      case "redis_down":
        this.#down.failed("redis", { fields: { reason: event.reason }, count: 0 });
        return;
      case "redis_refuses_writes":
        this.#readOnly.failed("redis", { fields: { reason: event.reason }, count: 0 });
        return;
      case "redis_up":
        this.#end(this.#down, event);
        return;
      case "redis_accepts_writes":
        this.#end(this.#readOnly, event);
        return;
      case "redis_permission_missing": {
        const { permission, cost } = event;
        this.#missing.log("warn", "the Redis user lacks a permission", { permission, cost });
        return;
      }
      case "redis_permission_given":
        this.#given.log("info", "the Redis user has the permission now", { permission: event.permission });
        return;
      default:
        debugLine(this.#logger, event);
    }
  }

  /** That Redis is gone, or takes no writes, is told once for all. */
  writeFailure({ action, feed, detail }: BackupFailed): void {
    const fields: LogFields = { action, feed: describeFeed(feed), detail };
    const outage = [this.#down, this.#readOnly].find((each) => each.isGoingOn());
    if (outage === undefined) this.#logger.log("debug", "the backup does not work", fields);
    else outage.failed("redis", { fields });
  }

  #end(outage: OutageLog, event: DebugEvent): void {
    if (!outage.ended("redis")) debugLine(this.#logger, event);
  }
}

/** What happens with Redis, as measurements. What is found, or written, is of a true key; the rest may be a stranger's. */
export function measureRedis(event: RedisEvent, registry: MetricRegistry, keys: KeyTags): void {
  const tagsOfAny = (feed: Feed) => ({ ...keys.of(feed.sdkKey), path: toPathTag(feed) });
  switch (event.kind) {
    case "redis_wrote":
      registry.time("RedisCacheWriteSucceed", toTags(event.feed), event.tookMs);
      return;
    case "redis_write_skipped":
      registry.count("RedisCacheWriteSkipped", toTags(event.feed));
      return;
    case "redis_write_failed":
      registry.count("RedisCacheWriteFailed", toTags(event.feed));
      return;
    case "redis_read":
      registry.time("RedisCacheReadSucceed", toTags(event.feed), event.tookMs);
      return;
    case "redis_read_miss":
      registry.count("RedisCacheReadMiss", tagsOfAny(event.feed));
      return;
    case "redis_read_failed":
    case "redis_read_unusable":
      registry.count("RedisCacheReadFailed", tagsOfAny(event.feed));
      return;
    case "redis_deleted":
      registry.count("RedisCacheDeleteSucceed", tagsOfAny(event.feed));
      return;
    case "redis_delete_failed":
      registry.count("RedisCacheDeleteFailed", tagsOfAny(event.feed));
      return;
    case "redis_down":
    case "redis_up":
    case "redis_refuses_writes":
    case "redis_accepts_writes":
    case "redis_permission_missing":
    case "redis_permission_given":
  }
}
