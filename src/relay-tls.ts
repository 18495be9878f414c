import type { Clock } from "./clock.ts";
import type { TlsConfig } from "./config-tls.ts";
import { StartError } from "./settings.ts";
import type { Supervisor } from "./supervision/supervisor.ts";
import type { EmitTlsEvent } from "./tls/events.ts";
import { TlsMaterialError } from "./tls/read-material.ts";
import { ServerTls } from "./tls/server-tls.ts";

export interface TlsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitTlsEvent;
}

/** Throws a StartError where a file can't be used. */
export function openTls(config: TlsConfig, parts: TlsParts): ServerTls {
  try {
    return new ServerTls(config, parts);
  } catch (error) {
    throw error instanceof TlsMaterialError ? new StartError(error.message) : error;
  }
}
