import type { BootstrapEvent, EmitBootstrapEvent, UnusableFile } from "../../bootstrap/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { describeFeed } from "../../specs/feed.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

/** Bounds the lines of files that change all the time, and of folders with other files. */
const LINES_PER_MIN = 10;

type BootstrapRead = Extract<BootstrapEvent, { kind: "bootstrap_read" }>;

/** Logs, metrics and status of config specs in files. */
export class BootstrapTelemetry {
  readonly emit: EmitBootstrapEvent;
  usable = 0;
  unusable: readonly UnusableFile[] = [];
  /** Why the folder could not be read, or has no file; undefined if it has some. */
  failed: Incident | undefined;
  /** When the files were read last, ms since the Unix epoch. */
  readAt: number | undefined;
  /** When the first file became unusable, ms since the Unix epoch; undefined if none is. */
  unusableSince: number | undefined;
  readonly #clock: Clock;
  readonly #throttled: ThrottledLogs;
  readonly #lines: ThrottledLogs;
  #isInUse = false;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#clock = clock;
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#lines = new ThrottledLogs(logger, clock, LINES_PER_MIN);
    registry.gauge("BootstrapFiles", () =>
      this.#isInUse
        ? [
            [{ state: "usable" }, this.usable],
            [{ state: "unusable" }, this.unusable.length],
          ]
        : [],
    );
  }

  #record(event: BootstrapEvent): void {
    this.#isInUse = true;
    switch (event.kind) {
      case "bootstrap_read":
        this.#recordRead(event);
        return;
      case "bootstrap_unusable": {
        const { kind, name: file, reason } = event;
        this.#lines.of(kind).log("warn", "bootstrap file unusable", { file, reason });
        return;
      }
      case "bootstrap_for_every_key": {
        const { kind, name: file, files } = event;
        const message = "bootstrap file names no SDK key, every allowed key gets its config specs";
        this.#lines.of(kind).log("warn", message, { file, files });
        return;
      }
      case "bootstrap_failed": {
        const { kind, path, reason } = event;
        this.failed = { since: this.failed?.since ?? this.#clock.now(), reason };
        this.#lines.of(kind).log("warn", "bootstrap files cannot be read", { path, reason });
        return;
      }
      case "bootstrap_missing": {
        const feed = describeFeed(event.feed);
        this.#throttled
          .of(event.kind)
          .log("warn", "no bootstrap file for this SDK key, no config to serve", { feed });
        return;
      }
      case "bootstrap_same_time": {
        const { kind, name: file } = event;
        const message = "bootstrap file changed without a later time, clients may keep what they have";
        this.#lines.of(kind).log("warn", message, { file, feed: describeFeed(event.feed) });
        return;
      }
      case "bootstrap_refused": {
        const { kind, name: file, reason } = event;
        const fields = { file, feed: describeFeed(event.feed), reason };
        this.#lines.of(kind).log("warn", "bootstrap file not served", fields);
      }
    }
  }

  #recordRead({ kind, path, usable, unusable }: BootstrapRead): void {
    const now = this.#clock.now();
    this.usable = usable;
    this.unusable = unusable;
    this.unusableSince = unusable.length === 0 ? undefined : (this.unusableSince ?? now);
    this.readAt = now;
    const isEmpty = usable + unusable.length === 0;
    this.failed = isEmpty
      ? { since: this.failed?.since ?? now, reason: "it has no config specs" }
      : undefined;
    this.#lines.of(kind).log("info", "bootstrap files read", { path, usable, unusable: unusable.length });
  }
}
