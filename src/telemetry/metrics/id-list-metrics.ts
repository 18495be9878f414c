import type { IdListEvent } from "../../id-lists/events.ts";
import type { KeyTags } from "./key-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** What happens to ID lists, as measurements. */
export function measureIdLists(event: IdListEvent, registry: MetricRegistry, keys: KeyTags): void {
  switch (event.kind) {
    case "id_lists_updated":
      registry.count("IdListUpdated", { ...keys.of(event.sdkKey), source: event.source });
      return;
    case "id_list_file_updated":
      registry.count("IdListFileBytes", {}, event.addedBytes);
      return;
    case "id_lists_refused":
    case "id_lists_fetch_failed":
    case "id_lists_unauthorized":
    case "id_lists_backup_failed":
    case "id_list_file_failed":
    case "id_list_left_out":
    case "id_lists_folder_unusable":
      registry.count("IdListFailed", { reason: event.kind.replace(/^id_lists?_/, "") });
      return;
    case "id_lists_unchanged":
    case "id_list_file_removed":
  }
}
