import type { Config } from "../config/config.ts";
import { ManagementListener } from "../http/management.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { Health } from "./lifecycle.ts";
import { type ListenerAddress, listenOrThrow } from "./listening.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface RunningManagement extends Disposable {
  /** Empty if there is no management port. */
  readonly addresses: readonly ListenerAddress[];
}

interface ManagementParts {
  readonly health: Health;
  readonly status: { readonly read: () => Promise<string> };
  readonly telemetry: Pick<RunningTelemetry, "limits" | "prometheus">;
  readonly supervisor: Supervisor;
}

/** Opens the management port, if there is one. Throws a ListenError if it cannot be opened. */
export function startManagement(
  { management }: Config,
  { health, status, telemetry, supervisor }: ManagementParts,
): RunningManagement {
  if (management === undefined) return { addresses: [], [Symbol.dispose]: () => {} };
  const { bindAddress } = management;
  const onFault = (error: unknown) => supervisor.caught("http_request", error);
  const listen = () =>
    new ManagementListener({
      ...{ ...management, emitLimit: telemetry.limits.emit, onFault },
      notReady: () => health.notReady(),
      metrics: telemetry.prometheus,
      status: status.read,
    });
  const listener = listenOrThrow({ option: "management-port", ...management }, listen);
  return {
    addresses: [{ protocol: "management", bindAddress, port: listener.port }],
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  };
}
