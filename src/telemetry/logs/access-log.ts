import type { Clock } from "../../clock.ts";
import type { AccessEvent } from "../../specs/access-events.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLog } from "./throttled-log.ts";

/** Log lines of who may ask. */
export class AccessLog {
  readonly #logger: Logger;
  readonly #notAllowed: ThrottledLog;
  readonly #throttled: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#notAllowed = new ThrottledLog(logger, clock);
    this.#throttled = new ThrottledLog(logger, clock);
  }

  write(event: AccessEvent): void {
    switch (event.kind) {
      case "key_refused":
        if (event.reason === "not_allowed") {
          this.#notAllowed.log("info", "an SDK key that is not allowed was refused", {
            option: "--allowed-sdk-keys",
          });
        } else {
          this.#throttled.log("warn", "too many unknown SDK keys are asked for", {
            option: "--unknown-key-rate-per-s",
          });
        }
        return;
      case "allowed_keys_reloaded": {
        const { keys, removed } = event;
        this.#logger.log("info", "allowed SDK keys reloaded", { keys, removed });
        return;
      }
      case "allowed_keys_refused":
        this.#logger.log(
          "warn",
          "the new list of allowed SDK keys can't be used, going on with the old one",
          {
            reason: event.detail,
          },
        );
    }
  }
}
