import type { Clock } from "../clock.ts";
import type { RpcEvent } from "../grpc/events.ts";
import type { HttpEvent } from "../http/events.ts";
import type { LocalEvent } from "../local/events.ts";
import type { SpecEvent } from "../specs/events.ts";
import { describeFeed } from "../specs/feed.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";
import { ThrottledLog } from "./throttled-log.ts";

export type RelayEvent = SpecEvent | RpcEvent | HttpEvent | LocalEvent;

/** Writes events as log lines: what an operator must know always, the rest with `--debug-logging`. */
export class EventLog {
  readonly #logger: Logger;
  readonly #outages: OutageLog;
  readonly #denials: ThrottledLog;
  readonly #backupTroubles: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#outages = new OutageLog(logger, clock);
    this.#denials = new ThrottledLog(logger, clock);
    this.#backupTroubles = new ThrottledLog(logger, clock);
  }

  write(event: RelayEvent): void {
    switch (event.kind) {
      case "spec_updated": {
        const { snapshot, previousLcut, tookMs } = event;
        const feed = describeFeed(snapshot.feed);
        if (snapshot.source === "upstream") this.#outages.ended(feed);
        const { lcut, bytes } = snapshot;
        this.#logger.log(
          "info",
          previousLcut === undefined ? "config specs loaded" : "config specs updated",
          {
            feed,
            lcut,
            previous_lcut: previousLcut,
            bytes: bytes.length,
            source: snapshot.source,
            took_ms: tookMs,
          },
        );
        return;
      }
      case "spec_unchanged": {
        const feed = describeFeed(event.feed);
        this.#outages.ended(feed);
        this.#logger.log("debug", "config specs unchanged", {
          feed,
          lcut: event.lcut,
          took_ms: event.tookMs,
        });
        return;
      }
      case "spec_refused":
        this.#outages.failed(`refused: ${event.reason}`, describeFeed(event.feed), event.detail);
        return;
      case "spec_fetch_failed":
        this.#outages.failed(event.cause, describeFeed(event.feed), event.detail);
        return;
      case "spec_unauthorized":
        this.#writeUnauthorized(event);
        return;
      case "backup_unusable":
        this.#backupTroubles.log("warn", "an entry of the backup can't be used, it is not served", {
          feed: describeFeed(event.feed),
          detail: event.detail,
        });
        return;
      case "backup_failed":
        this.#backupTroubles.log("warn", "the backup does not work", {
          action: event.action,
          feed: describeFeed(event.feed),
          detail: event.detail,
        });
        return;
      case "local_unusable":
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
      case "local_evicted": {
        const { kind, ...fields } = event;
        this.#logger.log("warn", kind.replaceAll("_", " "), fields);
        return;
      }
      case "spec_evicted":
        this.#outages.ended(describeFeed(event.feed));
        this.#logger.log("info", "SDK key made room for another", { feed: describeFeed(event.feed) });
        return;
      case "spec_not_held":
        this.#logger.log(
          "warn",
          "no room for another SDK key: all held keys have open streams or are preloaded",
          {
            feed: describeFeed(event.feed),
            maximum_concurrent_sdk_keys: event.maxKeys,
          },
        );
        return;
      default:
        this.#logger.log("debug", event.kind.replaceAll("_", " "), debugFields(event));
    }
  }

  #writeUnauthorized(event: Extract<SpecEvent, { kind: "spec_unauthorized" }>): void {
    const feed = describeFeed(event.feed);
    switch (event.whatIsHeld) {
      case "kept":
        this.#outages.failed("unauthorized", feed, `upstream answered ${event.status}`);
        return;
      case "cleared":
        this.#outages.ended(feed);
        this.#logger.log("warn", "upstream revoked the SDK key, dropped what was held", {
          feed,
          status: event.status,
        });
        return;
      case "denied":
        this.#denials.log("info", "upstream does not accept the SDK key", { feed, status: event.status });
    }
  }
}

function debugFields(event: RpcEvent | HttpEvent) {
  const { kind: _, ...fields } = event;
  if ("feed" in fields) return { ...fields, feed: describeFeed(fields.feed) };
  if ("tookMs" in fields) return { ...fields, tookMs: Number(fields.tookMs.toFixed(3)) };
  return fields;
}
