import type { Clock } from "../../clock.ts";
import type { SpecEvent } from "../../specs/events.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";
import { ThrottledLog } from "./throttled-log.ts";

export type SpecLogEvent = Exclude<SpecEvent, BackupUseEvent>;

/** Log lines of what happens between upstream and memory. */
export class SpecLog {
  readonly #logger: Logger;
  readonly #outages: OutageLog;
  readonly #denials: ThrottledLog;
  readonly #evictions: ThrottledLog;
  readonly #firstFailures: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#outages = new OutageLog(logger, clock);
    this.#denials = new ThrottledLog(logger, clock);
    this.#evictions = new ThrottledLog(logger, clock);
    this.#firstFailures = new ThrottledLog(logger, clock);
  }

  write(event: SpecLogEvent): void {
    const feed = describeFeed(event.kind === "spec_updated" ? event.snapshot.feed : event.feed);
    switch (event.kind) {
      case "spec_updated":
        this.#writeUpdate(event, feed);
        return;
      case "spec_unchanged":
        this.#outages.ended(feed);
        this.#logger.log("debug", "config specs unchanged", {
          feed,
          lcut: event.lcut,
          took_ms: event.tookMs,
        });
        return;
      case "spec_refused":
        this.#writeFailure(`refused: ${event.reason}`, event, feed);
        return;
      case "spec_fetch_failed":
        this.#writeFailure(event.cause, event, feed);
        return;
      case "spec_unauthorized":
        this.#writeUnauthorized(event, feed);
        return;
      case "spec_evicted":
        this.#outages.ended(feed);
        this.#evictions.log("info", "SDK key made room for another: more are in use than may be held", {
          feed,
          option: "--maximum-concurrent-sdk-keys",
        });
        return;
      case "spec_not_held":
        this.#denials.log("warn", "no room for another SDK key: all have streams or are preloaded", {
          feed,
          maximum_concurrent_sdk_keys: event.maxKeys,
        });
    }
  }

  /** A key of which nothing is held may never be asked for again: it must not keep an outage open. */
  #writeFailure(cause: string, { detail, held }: { detail: string; held: boolean }, feed: string): void {
    if (held) this.#outages.failed(cause, feed, detail);
    else this.#firstFailures.log("warn", "upstream failing, nothing to serve yet", { cause, detail, feed });
  }

  #writeUpdate(event: Extract<SpecEvent, { kind: "spec_updated" }>, feed: string): void {
    const { snapshot, previousLcut, tookMs } = event;
    const { lcut, bytes, source } = snapshot;
    if (source === "upstream") this.#outages.ended(feed);
    const message = previousLcut === undefined ? "config specs loaded" : "config specs updated";
    const fields = { feed, lcut, previous_lcut: previousLcut, bytes: bytes.length, source, took_ms: tookMs };
    this.#logger.log("info", message, fields);
  }

  #writeUnauthorized(event: Extract<SpecEvent, { kind: "spec_unauthorized" }>, feed: string): void {
    const { status } = event;
    switch (event.whatIsHeld) {
      case "kept":
        this.#outages.failed("unauthorized", feed, `upstream answered ${status}`);
        return;
      case "cleared":
        this.#outages.ended(feed);
        this.#logger.log("warn", "upstream revoked the SDK key, dropped what was held", { feed, status });
        return;
      case "denied":
        this.#denials.log("info", "upstream does not accept the SDK key", { feed, status });
    }
  }
}
