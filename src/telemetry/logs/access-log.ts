import type { Clock } from "../../clock.ts";
import type { AccessEvent } from "../../specs/access-events.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLogs } from "./throttled-log.ts";

/** A file that changes all the time is no reason for as many lines. */
const RELOADS_PER_MIN = 10;

/** Log lines of who may ask. */
export class AccessLog {
  readonly #refusals: ThrottledLogs;
  readonly #reloads: ThrottledLogs;

  constructor(logger: Logger, clock: Clock) {
    this.#refusals = new ThrottledLogs(logger, clock);
    this.#reloads = new ThrottledLogs(logger, clock, RELOADS_PER_MIN);
  }

  write(event: AccessEvent): void {
    const { kind } = event;
    switch (kind) {
      case "key_refused":
        this.#writeRefusal(event.reason);
        return;
      case "allowed_keys_reloaded": {
        const { keys, removed } = event;
        this.#reloads.of(kind).log("info", "allowed SDK keys reloaded", { keys, removed });
        return;
      }
      case "allowed_keys_refused": {
        const message = "the new list of allowed SDK keys can't be used, going on with the old one";
        this.#reloads.of(kind).log("warn", message, { reason: event.detail });
      }
    }
  }

  #writeRefusal(reason: Extract<AccessEvent, { kind: "key_refused" }>["reason"]): void {
    const log = this.#refusals.of(reason);
    switch (reason) {
      case "not_allowed":
        log.log("info", "an SDK key that is not allowed was refused", { option: "--allowed-sdk-keys" });
        return;
      case "throttled":
        log.log("warn", "too many unknown SDK keys are asked for", { option: "--unknown-key-rate-per-s" });
    }
  }
}
