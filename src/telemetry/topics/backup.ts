import type { Clock } from "../../platform/clock.ts";
import type { BackupEvent, EmitBackupEvent } from "../../specs/backup.ts";
import { describeFeed } from "../../specs/feed.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident, LatestError } from "../status/incident.ts";
import type { RedisTelemetry } from "./redis.ts";
import type { SqliteTelemetry } from "./sqlite.ts";

interface BackupSubjects {
  readonly redis: RedisTelemetry;
  readonly sqlite: SqliteTelemetry;
  /** Shared with the subject of the database, so that the status page shows the latest error of both. */
  readonly latestError: LatestError;
}

/** Logs, metrics and status of reads and writes of the backup, whether it is Redis or SQLite. */
export class BackupTelemetry {
  readonly emit: EmitBackupEvent;
  readonly latestError: LatestError;
  /** The last entry that could not be served. */
  unusableEntry: Incident | undefined;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #throttled: ThrottledLogs;
  readonly #redis: RedisTelemetry;
  readonly #sqlite: SqliteTelemetry;

  constructor({ logger, registry, clock, contain }: TelemetryOutput, subjects: BackupSubjects) {
    this.emit = contain((event) => this.#record(event));
    this.latestError = subjects.latestError;
    this.#registry = registry;
    this.#clock = clock;
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#redis = subjects.redis;
    this.#sqlite = subjects.sqlite;
    registry.gauge("BackupUp", () => this.#readUp());
  }

  /** The backup in use counts as up until it fails. */
  expect(source: "redis" | "local"): void {
    const subject = source === "redis" ? this.#redis : this.#sqlite;
    subject.isUp ??= true;
  }

  #record(event: BackupEvent): void {
    switch (event.kind) {
      case "backup_unusable": {
        const { detail } = event;
        this.#registry.count("BackupUnusable", { source: "entry" });
        this.unusableEntry = { since: this.#clock.now(), reason: detail };
        this.latestError.record(detail);
        const fields = { feed: describeFeed(event.feed), detail };
        this.#throttled.of(event.kind).log("warn", "backup entry unusable, not served", fields);
        return;
      }
      case "backup_removed_elsewhere": {
        this.#registry.count("SdkKeyUnauthorized", { state: "removed_elsewhere" });
        const message = "backup entry removed by another relay: upstream rejected the SDK key";
        this.#throttled.of(event.kind).log("warn", message, { feed: describeFeed(event.feed) });
        return;
      }
      case "backup_failed":
        this.#registry.count("BackupFailed", { source: event.source, action: event.action });
        this.latestError.record(event.detail);
        if (event.source === "redis") this.#redis.logFailure(event);
        else this.#sqlite.logFailure(event);
    }
  }

  *#readUp(): Iterable<readonly [{ readonly source: string }, number]> {
    if (this.#redis.isUp !== undefined) yield [{ source: "redis" }, Number(this.#redis.isUp)];
    if (this.#sqlite.isUp !== undefined) yield [{ source: "local" }, Number(this.#sqlite.isUp)];
  }
}
