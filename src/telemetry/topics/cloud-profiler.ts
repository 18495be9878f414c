import type { CloudProfilerEvent, EmitCloudProfilerEvent } from "../../profiling/cloud/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";

/** Logs and metrics of the agent of Google Cloud Profiler. What it fails for is reported as that of the sink `gcp-profiler`. */
export class CloudProfilerTelemetry {
  readonly emit: EmitCloudProfilerEvent;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #skipped: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#skipped = new ThrottledLogs(logger, clock);
  }

  #record(event: CloudProfilerEvent): void {
    switch (event.kind) {
      case "cloud_profiler_started": {
        const { kind: _, source, ...facts } = event;
        this.#logger.log("info", "Google Cloud Profiler turned on", { turned_on_by: source, ...facts });
        return;
      }
      case "cloud_profiler_stopped":
        this.#logger.log("info", "Google Cloud Profiler turned off");
        return;
      case "cloud_profile_uploaded": {
        const { profile, bytes, tookMs, isFirst } = event;
        this.#registry.count("CloudProfileUploaded", { profile });
        if (isFirst) {
          const took_ms = Math.round(tookMs);
          this.#logger.log("info", "first profile uploaded", { profile, bytes, took_ms });
        } else debugLine(this.#logger, { kind: event.kind, profile, bytes, tookMs });
        return;
      }
      case "cloud_profile_skipped": {
        const { kind, reason } = event;
        this.#skipped.of(kind).log("warn", "profile not taken, Google asks for another kind", { reason });
      }
    }
  }
}
