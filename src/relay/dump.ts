import { listDumpedFiles } from "../bootstrap/dumped-files.ts";
import { dumpRoutes } from "../http/management/dump-routes.ts";
import type { OperatorApi } from "../http/management/operator-routes.ts";
import type { Clock } from "../platform/clock.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { RunningSpecs } from "./specs.ts";

interface DumpParts {
  readonly clock: Clock;
  readonly specs: Pick<RunningSpecs, "store">;
  readonly telemetry: Pick<Telemetry, "operators">;
}

/** Returns the routes from which `dump` reads what is held. */
export function createDumpRoutes({
  clock,
  specs: { store },
  telemetry,
}: DumpParts): OperatorApi["parts"][number] {
  return dumpRoutes({ list: () => listDumpedFiles(store), clock, emit: telemetry.operators.emit });
}
