import type { RedisEvent } from "../../redis/events.ts";
import { tagsOf } from "./feed-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** What happens with Redis, as measurements. */
export function measureRedis(event: RedisEvent, registry: MetricRegistry): void {
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
      registry.count("RedisCacheReadMiss", tagsOf(event.feed));
      return;
    case "redis_read_failed":
    case "redis_read_unusable":
      registry.count("RedisCacheReadFailed", tagsOf(event.feed));
      return;
    case "redis_deleted":
      registry.count("RedisCacheDeleteSucceed", tagsOf(event.feed));
      return;
    case "redis_delete_failed":
      registry.count("RedisCacheDeleteFailed", tagsOf(event.feed));
      return;
    case "redis_down":
    case "redis_up":
    case "redis_refuses_writes":
    case "redis_takes_writes":
    case "lease_acquired":
    case "lease_lost":
  }
}
