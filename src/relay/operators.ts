import { listDumpedFiles } from "../bootstrap/dumped-files.ts";
import { dumpRoutes } from "../http/management/dump-routes.ts";
import { invalidateRoute } from "../http/management/invalidate-route.ts";
import type { OperatorApi } from "../http/management/operator-routes.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { SpecPushes } from "../specs/push.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { BackupParts } from "./backup.ts";
import type { RunningIdLists } from "./id-lists.ts";
import type { RunningServing } from "./serving.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningUpstream } from "./upstream.ts";

interface OperatorParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "operators">;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly upstream: RunningUpstream;
  readonly backup: BackupParts | undefined;
  readonly serving: RunningServing;
}

interface RunningOperators extends Disposable {
  /** The routes of the operator API. */
  readonly routes: OperatorApi["parts"];
}

/** Starts what operators do with a token: have feeds polled now, on all relays of the fleet, and read what is held. */
export function startOperators(parts: OperatorParts): RunningOperators {
  const { clock, supervisor, specs, idLists, upstream, backup, serving } = parts;
  const { polled, pollAfresh, store } = specs;
  const { emit } = parts.telemetry.operators;
  const pushes = new SpecPushes({
    ...{ polled, pollAfresh, store, idLists, clock, supervisor },
    channel: backup?.fleetChannel,
    intervalMs: upstream.intervalMs,
    reachClients: () => serving.reach(),
  });
  return {
    routes: [
      invalidateRoute({ pushes, emit }),
      dumpRoutes({ list: () => listDumpedFiles(store), clock, emit }),
    ],
    [Symbol.dispose]: () => pushes[Symbol.dispose](),
  };
}
