import type { RedisEvent } from "../../redis/events.ts";
import type { Feed } from "../../specs/feed.ts";
import { pathOf, tagsOf } from "./feed-tags.ts";
import type { KeyTags } from "./key-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** What happens with Redis, as measurements. What is found, or written, is of a true key; the rest may be a stranger's. */
export function measureRedis(event: RedisEvent, registry: MetricRegistry, keys: KeyTags): void {
  const tagsOfAny = (feed: Feed) => ({ ...keys.of(feed.sdkKey), path: pathOf(feed) });
  switch (event.kind) {
    case "redis_wrote":
      registry.time("RedisCacheWriteSucceed", tagsOf(event.feed), event.tookMs);
      return;
    case "redis_write_skipped":
      registry.count("RedisCacheWriteSkipped", tagsOf(event.feed));
      return;
    case "redis_write_failed":
      registry.count("RedisCacheWriteFailed", tagsOf(event.feed));
      return;
    case "redis_read":
      registry.time("RedisCacheReadSucceed", tagsOf(event.feed), event.tookMs);
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
    case "redis_takes_writes":
    case "redis_permission_missing":
    case "redis_permission_given":
  }
}
