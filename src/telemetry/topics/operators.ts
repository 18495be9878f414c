import { maskSdkKey } from "../../access/sdk-key.ts";
import type { EmitOperatorEvent, OperatorEvent } from "../../http/management/events.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";

/** The audit trail of the operator API. */
export class OperatorTelemetry {
  readonly emit: EmitOperatorEvent;
  readonly #logger: TelemetryOutput["logger"];
  readonly #registry: MetricRegistry;
  readonly #refusals: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#refusals = new ThrottledLogs(logger, clock);
  }

  #record(event: OperatorEvent): void {
    switch (event.kind) {
      case "operator_acted": {
        const { action, sdkKey, from, detail } = event;
        const result = typeof detail["result"] === "string" ? detail["result"] : "done";
        this.#registry.count("OperatorActions", { action, result });
        const key = sdkKey === undefined ? "all" : maskSdkKey(sdkKey);
        this.#logger.log("info", "operator action", { action, sdk_key: key, client: from, ...detail });
        return;
      }
      case "profile_taken": {
        const { profile, from, durationMs, threads, missing, bytes } = event;
        const silent = missing.length > 0 && { missing: missing.join(",") };
        const duration_ms = Math.round(durationMs);
        this.#logger.log("info", "profile taken", {
          profile,
          client: from,
          duration_ms,
          threads,
          ...silent,
          bytes,
        });
        return;
      }
      case "operator_refused":
        this.#refusals
          .of(event.kind)
          .log("warn", "rejected request to the operator API: wrong token", { client: event.from });
    }
  }
}
