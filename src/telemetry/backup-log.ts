import type { Clock } from "../clock.ts";
import type { LocalEvent } from "../local/events.ts";
import type { RedisEvent } from "../redis/events.ts";
import type { SpecEvent } from "../specs/events.ts";
import { describeFeed } from "../specs/feed.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLog } from "./throttled-log.ts";

export type BackupLogEvent =
  | Extract<SpecEvent, { kind: `backup_${string}` }>
  | LocalEvent
  | Extract<RedisEvent, { kind: "redis_down" | "redis_up" | "lease_acquired" | "lease_lost" }>;

/** Log lines of what an operator must know of Redis and the local backup. */
export class BackupLog {
  readonly #logger: Logger;
  readonly #unusable: ThrottledLog;
  readonly #failures: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#unusable = new ThrottledLog(logger, clock);
    this.#failures = new ThrottledLog(logger, clock);
  }

  write(event: BackupLogEvent): void {
    switch (event.kind) {
      case "backup_unusable":
        this.#unusable.log("warn", "an entry of the backup can't be used, it is not served", {
          feed: describeFeed(event.feed),
          detail: event.detail,
        });
        return;
      case "backup_failed":
        this.#failures.log("warn", "the backup does not work", {
          action: event.action,
          feed: describeFeed(event.feed),
          detail: event.detail,
        });
        return;
      case "redis_down":
        this.#logger.log("warn", "Redis can't be used, going on without", { reason: event.reason });
        return;
      case "redis_up":
        this.#logger.log("info", "Redis works again", { down_for_s: Math.round(event.downForMs / 1_000) });
        return;
      case "lease_acquired":
        this.#logger.log("info", "this relay writes the backup now");
        return;
      case "lease_lost":
        this.#logger.log("info", "this relay no longer writes the backup", { reason: event.reason });
        return;
      case "local_unusable":
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
      case "local_evicted": {
        const { kind, ...fields } = event;
        this.#logger.log("warn", kind.replaceAll("_", " "), fields);
      }
    }
  }
}
