import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { CloudProfilerApi } from "../profiling/cloud/api.ts";
import { CloudProfiler } from "../profiling/cloud/cloud-profiler.ts";
import { MetadataServer } from "../profiling/cloud/metadata.ts";
import { Profiler } from "../profiling/profiler.ts";
import { expectSink } from "../telemetry/push/sink-health.ts";
import { VERSION } from "../version.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface ProfilingParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<RunningTelemetry, "registry" | "sinks" | "cloudProfiler">;
}

export interface RunningProfiling extends AsyncDisposable {
  /** Sends profiles to Google Cloud while it is on. */
  readonly cloud: CloudProfiler;
}

/** Makes the profilers ready, and turns that of Google Cloud on if the configuration says so. Nothing runs while none is on. */
export function startProfiling(config: Config, parts: ProfilingParts): RunningProfiling {
  const profiler = new Profiler(parts.clock);
  const cloud = startCloudProfiler(config, profiler, parts);
  return {
    cloud,
    async [Symbol.asyncDispose]() {
      await cloud[Symbol.asyncDispose]();
      profiler[Symbol.dispose]();
    },
  };
}

function startCloudProfiler(
  { profiling: { cloud } }: Config,
  profiler: Profiler,
  { clock, supervisor, telemetry }: ProfilingParts,
): CloudProfiler {
  const { registry, sinks, cloudProfiler } = telemetry;
  const { service, project, version = VERSION } = cloud;
  const agent = new CloudProfiler({
    service: { service, project, version },
    api: new CloudProfilerApi({ endpoint: cloud.endpoint, relayVersion: VERSION, clock }),
    metadata: new MetadataServer(cloud.metadataHost),
    ...{ profiler, clock, supervisor, emit: cloudProfiler.emit },
    openHealth: () => {
      const health = expectSink(SINK, { clock, registry, sinks });
      return {
        failed: (detail) => health.failed(detail),
        worked: () => health.worked(),
        dropped: (count) => health.dropped(count),
        [Symbol.dispose]: () => sinks.forget(SINK),
      };
    },
  });
  if (cloud.isForced) agent.setEnabled("flag", true);
  return agent;
}

const SINK = "gcp-profiler";
