import type { EmitLimitEvent, LimitEvent } from "../../server/limits.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";

/** Logs and metrics of limits of servers, and of connections that were closed because the client is gone. */
export class LimitTelemetry {
  readonly emit: EmitLimitEvent;
  readonly #registry: MetricRegistry;
  readonly #limits: ThrottledLogs;
  readonly #clients: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#registry = registry;
    this.#limits = new ThrottledLogs(logger, clock);
    this.#clients = new ThrottledLogs(logger, clock);
  }

  #record(event: LimitEvent): void {
    switch (event.kind) {
      case "limit_reached": {
        const { limit, count } = event;
        this.#registry.count("LimitReached", { limit }, count);
        this.#limits.of(limit).log("warn", "limit reached", { limit, count });
        return;
      }
      case "client_vanished":
        this.#registry.count("ClientVanished", {}, event.count);
        this.#clients.of(event.kind).log("info", "client unresponsive, closed its connection", {
          count: event.count,
        });
        return;
      case "wrong_protocol": {
        const { reason, client, port, count } = event;
        const fields = { reason, client, port, count };
        this.#clients.of(reason).log("warn", "client speaks another protocol than the port", fields);
        return;
      }
      case "connections_lowered": {
        const { kind, connections, descriptors } = event;
        const message = "lowered --max-connections: limit of open files too low";
        const fields = { connections_per_port: connections, open_files: descriptors };
        this.#limits.of(kind).log("warn", message, fields);
      }
    }
  }
}
