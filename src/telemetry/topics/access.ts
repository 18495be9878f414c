import type { AccessEvent, EmitAccessEvent } from "../../access/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

/** Bounds the lines of a file that changes all the time. */
const RELOADS_PER_MIN = 10;

/** Logs, metrics and status of rejected SDK keys and of the list of allowed keys. */
export class AccessTelemetry {
  readonly emit: EmitAccessEvent;
  /** Why the current file of allowed keys is not in use. */
  allowListRefused: Incident | undefined;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #refusals: ThrottledLogs;
  readonly #reloads: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#registry = registry;
    this.#clock = clock;
    this.#refusals = new ThrottledLogs(logger, clock);
    this.#reloads = new ThrottledLogs(logger, clock, RELOADS_PER_MIN);
  }

  #record(event: AccessEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "key_refused":
        registry.count("KeyRefused", { reason: event.reason });
        this.#logRefusal(event.reason);
        return;
      case "allowed_keys_reloaded": {
        const { kind, keys, removed } = event;
        registry.count("AllowedKeysReloaded", { state: "taken_over" });
        this.allowListRefused = undefined;
        this.#reloads.of(kind).log("info", "allowed SDK keys reloaded", { keys, removed });
        return;
      }
      case "allowed_keys_refused": {
        const { kind, detail } = event;
        registry.count("AllowedKeysReloaded", { state: "refused" });
        this.allowListRefused = { since: this.#clock.now(), reason: detail };
        const message = "invalid list of allowed SDK keys, keeping the previous one";
        this.#reloads.of(kind).log("warn", message, { reason: detail });
      }
    }
  }

  #logRefusal(reason: Extract<AccessEvent, { kind: "key_refused" }>["reason"]): void {
    const log = this.#refusals.of(reason);
    switch (reason) {
      case "not_allowed":
        log.log("info", "rejected SDK key: not in --allowed-sdk-keys", { option: "--allowed-sdk-keys" });
        return;
      case "throttled": {
        const option = "--unknown-key-rate-per-s";
        log.log("warn", "rejected unknown SDK keys: --unknown-key-rate-per-s reached", { option });
      }
    }
  }
}
