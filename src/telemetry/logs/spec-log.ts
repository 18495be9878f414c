import type { Clock } from "../../clock.ts";
import type { SpecEvent } from "../../specs/events.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import { debugLine } from "./debug-line.ts";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";
import { ThrottledLog, ThrottledLogs } from "./throttled-log.ts";

const WORDS = {
  begins: "upstream failing, serving what is held",
  lasts: "upstream still failing",
  ends: "upstream works again",
  failing: "failing_feeds",
};

const DELAY_WORDS = {
  begins: "polls wait longer for their turn than the polling interval",
  lasts: "polls still wait longer for their turn than the polling interval",
  ends: "polls begin in time again",
};

/** Each is one, but a flood of them tells no more than that it is one. */
const UPDATES_PER_MIN = 600;

export type SpecLogEvent = Exclude<SpecEvent, BackupUseEvent>;

/** Of one feed. */
type FeedLogEvent = Exclude<SpecLogEvent, { kind: `spec_poll${string}` | "fleet_looked" }>;

/** Log lines of what happens between upstream and memory. */
export class SpecLog {
  readonly #logger: Logger;
  readonly #outages: OutageLog;
  readonly #delays: OutageLog;
  readonly #throttled: ThrottledLogs;
  readonly #updates: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#outages = new OutageLog(logger, clock, WORDS);
    this.#delays = new OutageLog(logger, clock, DELAY_WORDS);
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#updates = new ThrottledLog(logger, clock, UPDATES_PER_MIN);
  }

  write(event: SpecLogEvent): void {
    switch (event.kind) {
      case "fleet_looked":
      case "spec_poll_began":
        debugLine(this.#logger, event);
        return;
      case "spec_polls_delayed": {
        const fields = {
          waited_ms: Math.round(event.waitedMs),
          interval_ms: event.intervalMs,
          option: "--update-batch-size",
        };
        this.#delays.failed("polls", { fields });
        return;
      }
      case "spec_polls_on_time":
        if (!this.#delays.ended("polls")) debugLine(this.#logger, event);
        return;
      default:
        this.#writeOfFeed(event);
    }
  }

  #writeOfFeed(event: FeedLogEvent): void {
    const feed = describeFeed(event.kind === "spec_updated" ? event.snapshot.feed : event.feed);
    switch (event.kind) {
      case "spec_updated":
        this.#writeUpdate(event, feed);
        return;
      case "spec_unchanged":
        this.#logger.log("debug", "config specs unchanged", {
          feed,
          lcut: event.lcut,
          took_ms: event.tookMs,
        });
        this.#outages.ended(feed);
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
      case "spec_evicted": {
        const message = "SDK key made room for another: more are in use than may be held";
        const option = "--maximum-concurrent-sdk-keys";
        this.#throttled.of(event.kind).log("info", message, { feed, option });
        this.#outages.ended(feed);
        return;
      }
      case "spec_not_held": {
        const message = "no room for another SDK key: all have streams or are preloaded";
        const fields = { feed, maximum_concurrent_sdk_keys: event.maxKeys };
        this.#throttled.of(event.kind).log("warn", message, fields);
      }
    }
  }

  /** A key of which nothing is held may never be asked for again: it must not keep an outage open. */
  #writeFailure(cause: string, { detail, held }: { detail: string; held: boolean }, feed: string): void {
    const fields = { detail, feed };
    if (held) this.#outages.failed(feed, { cause, fields });
    else
      this.#throttled
        .of("nothing")
        .log("warn", "upstream failing, nothing to serve yet", { cause, ...fields });
  }

  #writeUpdate(event: Extract<SpecEvent, { kind: "spec_updated" }>, feed: string): void {
    const { snapshot, previousLcut, tookMs } = event;
    const { lcut, bytes, source } = snapshot;
    const message = previousLcut === undefined ? "config specs loaded" : "config specs updated";
    const fields = { feed, lcut, previous_lcut: previousLcut, bytes: bytes.length, source, took_ms: tookMs };
    this.#updates.log("info", message, fields);
    if (source === "upstream") this.#outages.ended(feed);
  }

  #writeUnauthorized(event: Extract<SpecEvent, { kind: "spec_unauthorized" }>, feed: string): void {
    const { status } = event;
    switch (event.whatIsHeld) {
      case "kept": {
        const fields = { detail: `upstream answered ${status}`, feed };
        this.#outages.failed(feed, { cause: "unauthorized", fields });
        return;
      }
      case "cleared": {
        const message = "upstream revoked the SDK key, dropped what was held";
        this.#throttled.of("cleared").log("warn", message, { feed, status });
        this.#outages.ended(feed);
        return;
      }
      case "denied":
        this.#throttled.of("denied").log("info", "upstream does not accept the SDK key", { feed, status });
    }
  }
}
