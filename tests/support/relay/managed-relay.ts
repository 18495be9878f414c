import type { StatusReport } from "../../../src/telemetry/status/schema.ts";
import { type RawResponse, rawGet } from "../clients/raw-get.ts";
import { freePort } from "../common/free-port.ts";
import { expectStatusSchema } from "../telemetry/status-schema.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "./relay-process.ts";

export interface ManagedRelay extends AsyncDisposable {
  readonly relay: RelayProcess;
  /** URL of the management port. */
  readonly url: string;
  get(path: string): Promise<RawResponse>;
  /** Rejects if the status does not match its JSON Schema. */
  status(): Promise<StatusReport>;
}

/** Starts a relay with a management port. Pass `port` to replace an earlier relay. */
export async function startManagedRelay(options: RelayOptions = {}, port?: number): Promise<ManagedRelay> {
  const args = [...(options.args ?? []), "--management-port", String(port ?? (await freePort()))];
  const relay = await startRelayProcess({ ...options, args });
  const url = relay.urlOf("management");
  const get = (path: string) => rawGet(`${url}${path}`);
  return {
    relay,
    url,
    get,
    status: async () => {
      const report: unknown = JSON.parse((await get("/status.json")).body.toString());
      expectStatusSchema(report);
      return report as StatusReport;
    },
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
}
