import type { Clock } from "../../clock.ts";
import type { LocalEvent } from "../../local/events.ts";
import type { RedisEvent } from "../../redis/events.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLog } from "./throttled-log.ts";

/** Log lines of what an operator must know of Redis and the local backup. */
export class BackupLog {
  readonly #logger: Logger;
  readonly #unusable: ThrottledLog;
  readonly #failures: ThrottledLog;
  readonly #evictions: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#unusable = new ThrottledLog(logger, clock);
    this.#failures = new ThrottledLog(logger, clock);
    this.#evictions = new ThrottledLog(logger, clock);
  }

  write(event: BackupUseEvent | LocalEvent | RedisEvent): void {
    switch (event.kind) {
      case "backup_unusable":
        this.#unusable.log("warn", "an entry of the backup can't be used, it is not served", {
          feed: describeFeed(event.feed),
          detail: event.detail,
        });
        return;
      case "backup_failed":
        this.#writeFailure(event);
        return;
      case "redis_down":
        this.#logger.log("warn", "Redis can't be used, going on without", { reason: event.reason });
        return;
      case "redis_refuses_writes":
        this.#logger.log("warn", "Redis takes no writes, the backup there grows old", {
          reason: event.reason,
        });
        return;
      case "redis_takes_writes":
        this.#logger.log("info", "Redis takes writes again");
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
        this.#logger.log("warn", event.kind.replaceAll("_", " "), { detail: event.detail });
        return;
      case "local_evicted":
        this.#evictions.log("info", "the local backup made room for newer keys", {
          versions: event.versions,
          detail: event.detail,
        });
        return;
      default:
        debugLine(this.#logger, event);
    }
  }

  #writeFailure(event: Extract<BackupUseEvent, { kind: "backup_failed" }>): void {
    const fields = { action: event.action, feed: describeFeed(event.feed), detail: event.detail };
    // That Redis is gone, or takes no writes, is told once for all.
    if (event.source === "redis") this.#logger.log("debug", "the backup does not work", fields);
    else this.#failures.log("warn", "the local backup does not work", fields);
  }
}
