import type { Config } from "../../config/config.ts";
import { ManagementListener } from "../../http/management/listener.ts";
import type { OperatorApi } from "../../http/management/operator-routes.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { Profiler } from "../../profiling/profiler.ts";
import type { Health } from "../lifecycle.ts";
import { type ListenerAddress, listenOrThrow } from "../listening.ts";
import type { RunningTelemetry } from "../telemetry.ts";

interface RunningManagement extends Disposable {
  /** Empty if there is no management port. */
  readonly addresses: readonly ListenerAddress[];
  /** Applies another token of the operator API, and whether profiles are taken. */
  reconfigure(config: Config): void;
}

interface ManagementParts {
  readonly health: Health;
  readonly status: { readonly read: () => Promise<string> };
  readonly telemetry: Pick<RunningTelemetry, "limits" | "operators" | "prometheus">;
  /** The routes of the operator API. */
  readonly operatorRoutes: OperatorApi["parts"];
  readonly supervisor: Supervisor;
  readonly profiler: Profiler;
}

/** Opens the management port, if there is one. Throws a ListenError if it cannot be opened. */
export function startManagement(
  { management }: Config,
  { health, status, telemetry, supervisor, operatorRoutes, profiler }: ManagementParts,
): RunningManagement {
  if (management === undefined) return { addresses: [], reconfigure: () => {}, [Symbol.dispose]: () => {} };
  const { bindAddress } = management;
  let { token, debugEndpoints } = management;
  const onFault = (error: unknown) => supervisor.caught("http_request", error);
  const listen = () =>
    new ManagementListener({
      ...{ ...management, emitLimit: telemetry.limits.emit, onFault },
      notReady: () => health.notReady(),
      metrics: telemetry.prometheus,
      status: status.read,
      debug: { isOn: () => debugEndpoints, profiler, emit: telemetry.operators.emit },
      operators: { token: () => token, parts: operatorRoutes, emit: telemetry.operators.emit },
    });
  const listener = listenOrThrow({ option: "management-port", ...management }, listen);
  return {
    addresses: [{ protocol: "management", bindAddress, port: listener.port }],
    reconfigure: (next) => {
      token = next.management?.token;
      debugEndpoints = next.management?.debugEndpoints ?? false;
    },
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  };
}
