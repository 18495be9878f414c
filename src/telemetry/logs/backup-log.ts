import type { Clock } from "../../clock.ts";
import type { LocalEvent } from "../../local/events.ts";
import type { RedisEvent } from "../../redis/events.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { BackupFailed, BackupUseEvent } from "../relay-event.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";
import { RedisLog } from "./redis-log.ts";
import { ThrottledLogs } from "./throttled-log.ts";

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
      case "local_works_again":
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
      case "local_works_again":
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
