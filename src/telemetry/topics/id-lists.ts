import { LRUCache } from "lru-cache";
import { maskSdkKey } from "../../access/sdk-key.ts";
import type { EmitIdListEvent, IdListEvent } from "../../id-lists/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLog, ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { KeyTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";

const OUTAGE = {
  begins: "upstream failing for ID lists, serving last known lists",
  lasts: "upstream still failing for ID lists",
  ends: "upstream recovered for ID lists",
  failing: "failing_keys",
};

/** Every update is worth a line, unless they flood the log. */
const UPDATES_PER_MIN = 600;

const MAX_FILES = 1_000;

type ManifestFailure = Extract<
  IdListEvent,
  { kind: `id_lists_${"refused" | "fetch_failed" | "unauthorized"}` }
>;
type StorageFailure = Extract<
  IdListEvent,
  { kind: "id_lists_backup_failed" | "id_list_left_out" | "id_list_file_failed" | "id_lists_folder_unusable" }
>;

/** Logs and metrics of ID lists. What the status page shows of them is read from the file store. */
export class IdListTelemetry {
  readonly emit: EmitIdListEvent;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  readonly #outages: OutageLog;
  readonly #throttled: ThrottledLogs;
  readonly #updates: ThrottledLog;
  /** Size of the last download of each file. */
  readonly #downloadBytes = new LRUCache<string, number>({ max: MAX_FILES });

  constructor({ logger, registry, keys, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#keys = keys;
    this.#outages = new OutageLog(logger, clock, OUTAGE);
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#updates = new ThrottledLog(logger, clock, UPDATES_PER_MIN);
    registry.gauge("DownloadIdListFileSizeBytes", () =>
      [...this.#downloadBytes].map(([fileID, bytes]) => [{ file_id: fileID }, bytes] as const),
    );
  }

  #record(event: IdListEvent): void {
    switch (event.kind) {
      case "id_lists_updated": {
        const { lists, source } = event;
        const sdkKey = maskSdkKey(event.sdkKey);
        this.#registry.count("IdListUpdated", { ...this.#keys.of(event.sdkKey), source });
        this.#updates.log("info", "ID lists updated", { sdk_key: sdkKey, lists, source });
        if (source === "upstream") this.#outages.ended(sdkKey);
        return;
      }
      case "id_lists_unchanged":
        debugLine(this.#logger, event);
        this.#outages.ended(maskSdkKey(event.sdkKey));
        return;
      case "id_lists_refused":
        this.#recordManifestFailure(event, { cause: "refused", detail: event.detail, isCached: event.held });
        return;
      case "id_lists_fetch_failed": {
        const { cause, detail, held } = event;
        this.#recordManifestFailure(event, { cause, detail, isCached: held });
        return;
      }
      case "id_lists_unauthorized": {
        const detail = `upstream answered ${event.status}`;
        const isCached = event.whatIsHeld === "kept";
        this.#recordManifestFailure(event, { cause: "unauthorized", detail, isCached });
        return;
      }
      case "id_lists_backup_failed":
      case "id_list_left_out":
      case "id_list_file_failed":
      case "id_lists_folder_unusable":
        this.#recordStorageFailure(event);
        return;
      case "id_list_file_updated":
        this.#registry.count("IdListFileBytes", {}, event.addedBytes);
        this.#downloadBytes.set(event.fileID, Math.max(0, event.addedBytes));
        debugLine(this.#logger, event);
        return;
      case "id_list_file_removed":
        debugLine(this.#logger, event);
    }
  }

  #recordManifestFailure(
    event: ManifestFailure,
    { cause, detail, isCached }: { cause: string; detail: string; isCached: boolean },
  ): void {
    this.#countFailure(event);
    const sdkKey = maskSdkKey(event.sdkKey);
    const fields = { sdk_key: sdkKey, detail };
    if (isCached) {
      const isOwn = event.kind !== "id_lists_fetch_failed";
      this.#outages.failed(sdkKey, { cause, isOwn, fields });
      return;
    }
    // A key that is not cached may never be requested again: it must not keep an outage open.
    this.#outages.ended(sdkKey);
    if (event.kind === "id_lists_unauthorized") {
      const message = "upstream rejected SDK key for ID lists";
      this.#throttled.of(cause).log("info", message, { ...fields, what_is_held: event.whatIsHeld });
    } else {
      const message = "upstream failing for ID lists, no lists to serve";
      this.#throttled.of("nothing").log("warn", message, { cause, ...fields });
    }
  }

  #recordStorageFailure(event: StorageFailure): void {
    this.#countFailure(event);
    const log = this.#throttled.of(event.kind);
    const { detail } = event;
    switch (event.kind) {
      case "id_lists_backup_failed": {
        const fields = { sdk_key: maskSdkKey(event.sdkKey), action: event.action, detail };
        log.log("warn", "backup operation failed for ID lists", fields);
        return;
      }
      case "id_list_left_out": {
        const fields = { sdk_key: maskSdkKey(event.sdkKey), list: event.list, detail };
        log.log("warn", "ID list omitted from manifest", fields);
        return;
      }
      case "id_list_file_failed":
        log.log("warn", "ID list file not updated", { list: event.list, detail });
        return;
      case "id_lists_folder_unusable":
        log.log("warn", "ID list folder unusable, clients fetch lists from upstream", { detail });
    }
  }

  #countFailure({ kind }: ManifestFailure | StorageFailure): void {
    this.#registry.count("IdListFailed", { reason: kind.replace(/^id_lists?_/, "") });
  }
}
