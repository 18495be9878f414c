import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { CloudProfilerApi } from "../profiling/cloud/api.ts";
import { CloudProfiler } from "../profiling/cloud/cloud-profiler.ts";
import { MetadataServer } from "../profiling/cloud/metadata.ts";
import { ProfilingGate } from "../profiling/gate/gate.ts";
import { Profiler } from "../profiling/profiler.ts";
import { expectSink } from "../telemetry/push/sink-health.ts";
import { VERSION } from "../version.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface ProfilingParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<RunningTelemetry, "registry" | "sinks" | "cloudProfiler" | "profilingGate">;
  readonly specs: Pick<RunningSpecs, "store">;
}

interface RunningProfiling extends AsyncDisposable {
  readonly profiler: Profiler;
}

/**
 * Makes the profiler ready, and turns the agent of Google Cloud on if the configuration says so, or a gate, now or later. Nothing runs
 * until a profile is wanted.
 */
export function startProfiling(config: Config, parts: ProfilingParts): RunningProfiling {
  const running = new AsyncDisposableStack();
  const profiler = running.use(new Profiler(parts.clock));
  const cloud = running.use(startCloudProfiler(config, profiler, parts));
  const { gate } = config.profiling;
  if (gate !== undefined) {
    const { supervisor, telemetry, specs } = parts;
    const { emit } = telemetry.profilingGate;
    const turn = (on: boolean) => cloud.setEnabled("gate", on);
    running.use(new ProfilingGate({ ...gate, store: specs.store, supervisor, turn, emit }));
  }
  return { profiler, [Symbol.asyncDispose]: () => running.disposeAsync() };
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
