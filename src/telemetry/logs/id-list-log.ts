import type { Clock } from "../../clock.ts";
import type { IdListEvent } from "../../id-lists/events.ts";
import { maskSdkKey } from "../../specs/sdk-key.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLog } from "./throttled-log.ts";

/** Log lines of ID lists. */
export class IdListLog {
  readonly #logger: Logger;
  readonly #failures: ThrottledLog;
  readonly #denials: ThrottledLog;
  readonly #files: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#failures = new ThrottledLog(logger, clock);
    this.#denials = new ThrottledLog(logger, clock);
    this.#files = new ThrottledLog(logger, clock);
  }

  write(event: IdListEvent): void {
    const sdkKey = "sdkKey" in event ? maskSdkKey(event.sdkKey) : undefined;
    switch (event.kind) {
      case "id_lists_updated": {
        const { lists, source } = event;
        this.#logger.log("info", "ID lists updated", { sdk_key: sdkKey, lists, source });
        return;
      }
      case "id_lists_refused":
        this.#failures.log("warn", "upstream sent no ID lists that can be used, serving what is held", {
          sdk_key: sdkKey,
          detail: event.detail,
        });
        return;
      case "id_lists_fetch_failed": {
        const { cause, detail, held } = event;
        this.#failures.log("warn", "upstream failing for ID lists", { sdk_key: sdkKey, cause, detail, held });
        return;
      }
      case "id_lists_unauthorized": {
        const { status, whatIsHeld } = event;
        const fields = { sdk_key: sdkKey, status, what_is_held: whatIsHeld };
        this.#denials.log("info", "upstream does not accept the SDK key for ID lists", fields);
        return;
      }
      case "id_lists_backup_failed": {
        const { action, detail } = event;
        this.#failures.log("warn", "the backup does not work for ID lists", {
          sdk_key: sdkKey,
          action,
          detail,
        });
        return;
      }
      case "id_list_file_updated": {
        const { list, addedBytes, bytes, tookMs } = event;
        const fields = { list, added_bytes: addedBytes, bytes, took_ms: tookMs };
        this.#logger.log("debug", "ID list file updated", fields);
        return;
      }
      case "id_list_file_failed": {
        const { list, detail } = event;
        this.#files.log("warn", "the file of an ID list could not be brought up to date", { list, detail });
        return;
      }
      case "id_list_file_removed":
        this.#logger.log("debug", "ID list file removed", { bytes: event.bytes });
        return;
      case "id_lists_folder_unusable":
        this.#logger.log("warn", "files of ID lists can't be kept, clients are sent to upstream for them", {
          detail: event.detail,
        });
    }
  }
}
