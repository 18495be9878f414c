import type { Config } from "./config.ts";
import { ManagementListener } from "./http/management-listener.ts";
import type { Probes } from "./http/probes.ts";
import type { EmitLimitEvent } from "./limits/events.ts";
import { type ListenerAddress, listenOrExplain } from "./listen.ts";
import type { Supervisor } from "./supervision/supervisor.ts";

export interface ManagementParts {
  readonly probes: Probes;
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  /** How the relay is, as JSON. */
  readonly status: () => Promise<string>;
  readonly emitLimit: EmitLimitEvent;
  readonly supervisor: Supervisor;
  /** Owns what is started. */
  readonly running: AsyncDisposableStack;
}

/** Opens the management port. Throws a ListenError where it can't be had. */
export async function startManagement(
  { management }: Config,
  { probes, metrics, status, emitLimit, supervisor, running }: ManagementParts,
): Promise<readonly ListenerAddress[]> {
  if (management === undefined) return [];
  const { bindAddress, port } = management;
  const onFault = (error: unknown) => supervisor.caught("http_request", error);
  const listen = () =>
    new ManagementListener({ bindAddress, port, probes, metrics, status, emitLimit, onFault });
  const listener = running.use(await listenOrExplain("management-port", port, bindAddress, listen));
  return [{ protocol: "management", bindAddress, port: listener.port }];
}
