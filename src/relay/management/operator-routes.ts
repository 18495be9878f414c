import { listDumpedFiles } from "../../bootstrap/dumped-files.ts";
import { dumpRoutes } from "../../http/management/dump-routes.ts";
import { invalidateRoute } from "../../http/management/invalidate-route.ts";
import type { OperatorApi } from "../../http/management/operator-routes.ts";
import { offlinePinRoutes, pinRoutes } from "../../http/management/pin-routes.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import { SpecPushes } from "../../specs/push.ts";
import type { BackupParts } from "../backup.ts";
import type { RunningIdLists } from "../id-lists.ts";
import type { RunningServing } from "../serving.ts";
import type { RunningSpecs } from "../specs.ts";
import type { RunningTelemetry } from "../telemetry.ts";
import type { RunningUpstream } from "../upstream.ts";

interface OperatorParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<RunningTelemetry, "operators" | "registry">;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly upstream: RunningUpstream;
  readonly backup: BackupParts | undefined;
  readonly serving: RunningServing;
}

/** Returns what operators can do with a token. `running` is what its parts are disposed of with. */
export function openOperatorRoutes(
  parts: OperatorParts,
  running: AsyncDisposableStack,
): OperatorApi["parts"] {
  const { clock, specs, telemetry } = parts;
  const { emit } = telemetry.operators;
  const { pins: desk, store } = specs;
  // A thread counts after it has taken over what was published before.
  const delivered = () => telemetry.registry.collect();
  return [
    invalidateRoute({ pushes: running.use(openPushes(parts)), emit }),
    dumpRoutes({ list: () => listDumpedFiles(store), clock, emit }),
    desk === undefined ? offlinePinRoutes() : pinRoutes({ desk, emit, delivered }),
  ];
}

function openPushes({ specs, upstream, backup, serving, ...parts }: OperatorParts): SpecPushes {
  const { polled, pollAfresh, store } = specs;
  const { clock, supervisor, idLists } = parts;
  return new SpecPushes({
    ...{ polled, pollAfresh, store, idLists, clock, supervisor },
    channel: backup?.fleetChannel,
    intervalMs: upstream.intervalMs,
    reachClients: () => serving.reach(),
  });
}
