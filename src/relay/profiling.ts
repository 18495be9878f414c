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
  /** Ends profiles and takes no more: a thread that is paused for one would delay the shutdown. */
  stopping(): void;
}

/**
 * Makes the profiler ready, and turns the agent of Google Cloud on if the configuration says so, or a gate, now or later. Nothing runs
 * until a profile is wanted.
 */
export function startProfiling(config: Config, parts: ProfilingParts): RunningProfiling {
  const profiler = new Profiler(parts.clock);
  const cloud = startCloudProfiler(config, profiler, parts);
  const gate = startGate(config, cloud, parts);
  let ended: Promise<unknown> | undefined;
  const end = () => {
    // What orders profiles ends in the same turn as the profiler, so that it takes this for no failure.
    ended ??= Promise.all([gate?.[Symbol.asyncDispose](), cloud[Symbol.asyncDispose]()]);
    profiler[Symbol.dispose]();
    return ended;
  };
  return { profiler, stopping: () => void end(), [Symbol.asyncDispose]: async () => void (await end()) };
}

function startGate(
  { profiling: { gate } }: Config,
  cloud: CloudProfiler,
  { clock, supervisor, telemetry, specs }: ProfilingParts,
): ProfilingGate | undefined {
  if (gate === undefined) return undefined;
  const { emit } = telemetry.profilingGate;
  const turn = (on: boolean) => cloud.setEnabled("gate", on);
  return new ProfilingGate({ ...gate, store: specs.store, clock, supervisor, turn, emit });
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
