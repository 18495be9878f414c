import { toLocalHost } from "../config/groups/listeners.ts";
import { type Check, type CheckResult, ok, skipped } from "./check.ts";

interface ManagementPort {
  readonly bindAddress: string;
  readonly port: number;
  readonly debugEndpoints: boolean;
}

/** Says how profiles of a relay with this configuration are taken. `management` is undefined if there is no management port. */
export function debugEndpointsCheck(management: ManagementPort | undefined): Check {
  return { name: "debug endpoints", run: async () => [describe(management)] };
}

function describe(management: ManagementPort | undefined): CheckResult {
  if (management === undefined) return skipped("profiles are taken on the management port, which is off");
  const { bindAddress, port, debugEndpoints } = management;
  if (!debugEndpoints) return skipped("--debug-endpoints is not set, so that no profiles can be taken");
  const order = `curl -fOJ -X POST http://${toLocalHost(bindAddress)}:${port}/debug`;
  return ok(`${order}/profile takes a profile of CPU time, ${order}/heap one of memory`);
}
