import type { Clock } from "../../platform/clock.ts";
import type { BackupFailed } from "../../specs/backup.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { EmitLocalEvent, LocalEvent, LocalWork } from "../../sqlite/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident, LatestError } from "../status/incident.ts";

const OUTAGE = {
  begins: "local backup failing",
  lasts: "local backup still failing",
  ends: "local backup recovered",
};

/** Logs, metrics and status of the local backup (CACHE=local). */
export class SqliteTelemetry {
  readonly emit: EmitLocalEvent;
  /** Undefined while it is not known, or if the local backup is not in use. */
  isUp: boolean | undefined;
  unusable: Incident | undefined;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #latestError: LatestError;
  readonly #outages: OutageLog;
  readonly #throttled: ThrottledLogs;
  readonly #failing = new Set<LocalWork | "opening">();

  constructor({ logger, registry, clock, contain }: TelemetryOutput, latestError: LatestError) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#clock = clock;
    this.#latestError = latestError;
    this.#outages = new OutageLog(logger, clock, OUTAGE);
    this.#throttled = new ThrottledLogs(logger, clock);
  }

  /** Counts a failed read or write in the outage that explains it; such failures have no lines of their own. */
  logFailure({ action, feed, detail }: BackupFailed): void {
    const fields = { action, feed: describeFeed(feed), detail };
    const cause = action === "read" ? "reading" : "writing";
    if (this.#outages.isOngoing(cause)) this.#outages.failed(cause, { cause, fields });
    else this.#logger.log("debug", "backup operation failed", fields);
  }

  #record(event: LocalEvent): void {
    const log = this.#throttled.of(event.kind);
    switch (event.kind) {
      case "local_unusable":
        this.#failed("opening");
        this.unusable = { since: this.unusable?.since ?? this.#clock.now(), reason: event.detail };
        log.log("warn", "local backup unusable, serving from memory", { detail: event.detail });
        return;
      case "local_usable": {
        const forS = this.unusable && Math.round((this.#clock.now() - this.unusable.since) / 1_000);
        this.#recovered("opening");
        this.unusable = undefined;
        log.log("info", "local backup opened", { forS });
        return;
      }
      case "local_failing": {
        const { doing, detail } = event;
        this.#failed(doing);
        this.#outages.failed(doing, { cause: doing, fields: { detail }, count: 0 });
        return;
      }
      case "local_recovered":
        this.#recovered(event.doing);
        if (!this.#outages.ended(event.doing)) debugLine(this.#logger, event);
        return;
      case "local_corrupt_set_aside": {
        const { setAsideAs, detail } = event;
        this.#registry.count("BackupUnusable", { source: "local" });
        this.#latestError.record(detail);
        const message = "corrupt local backup set aside, created a new one";
        log.log("warn", message, { set_aside_as: setAsideAs, detail });
        return;
      }
      case "local_damage_replaced":
        this.#registry.count("BackupUnusable", { source: "local" });
        this.#latestError.record(event.detail);
        log.log("warn", "damaged entry of local backup overwritten", { detail: event.detail });
        return;
      case "local_evicted": {
        const { versions, detail } = event;
        const message = "local backup limit reached, evicted least recently used entries";
        log.log("info", message, { versions, detail });
      }
    }
  }

  #failed(doing: LocalWork | "opening"): void {
    this.#failing.add(doing);
    this.isUp = false;
  }

  #recovered(doing: LocalWork | "opening"): void {
    this.#failing.delete(doing);
    this.isUp = this.#failing.size === 0;
  }
}
