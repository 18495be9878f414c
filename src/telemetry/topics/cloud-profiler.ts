import type { CloudProfilerEvent, EmitCloudProfilerEvent } from "../../profiling/cloud/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";

/** Bounds the lines of a gate that changes all the time. */
const LINES_PER_MIN = 5;

/** Logs and metrics of the agent of Google Cloud Profiler. What it fails for is reported as that of the sink `gcp-profiler`. */
export class CloudProfilerTelemetry {
  readonly emit: EmitCloudProfilerEvent;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #lines: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#lines = new ThrottledLogs(logger, clock, LINES_PER_MIN);
  }

  #record(event: CloudProfilerEvent): void {
    const lines = this.#lines.of(event.kind);
    switch (event.kind) {
      case "cloud_profiler_started": {
        const { kind: _, source, ...facts } = event;
        lines.log("info", "Google Cloud Profiler turned on", { turned_on_by: source, ...facts });
        return;
      }
      case "cloud_profiler_stopped":
        lines.log("info", "Google Cloud Profiler turned off");
        return;
      case "cloud_profile_uploaded": {
        const { profile, bytes, tookMs, isFirst } = event;
        this.#registry.count("CloudProfileUploaded", { profile });
        if (!isFirst) debugLine(this.#logger, { kind: event.kind, profile, bytes, tookMs });
        else lines.log("info", "first profile uploaded", { profile, bytes, took_ms: Math.round(tookMs) });
        return;
      }
      case "cloud_profile_skipped": {
        const { reason } = event;
        lines.log("warn", "profile not taken, Google asks for another kind", { reason });
      }
    }
  }
}
