import type { Config } from "../config/config.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { ProfilingGate } from "../profiling/gate/gate.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { RunningSpecs } from "./specs.ts";

interface ProfilingParts {
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "profilingGate">;
  readonly specs: Pick<RunningSpecs, "store">;
}

/** Starts what turns profiling on and off. */
export function startProfiling({ profiling }: Config, parts: ProfilingParts): AsyncDisposable {
  const { supervisor, telemetry, specs } = parts;
  const running = new AsyncDisposableStack();
  const { emit } = telemetry.profilingGate;
  if (profiling.gate !== undefined) {
    const turn = () => {};
    running.use(new ProfilingGate({ ...profiling.gate, store: specs.store, supervisor, turn, emit }));
  }
  return running;
}
