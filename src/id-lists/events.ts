import type { SdkKey } from "../access/sdk-key.ts";

/** A telemetry event of ID lists. `detail` is for logs, and never contains an SDK key. */
export type IdListEvent =
  /** The lists of a key changed, or became known. */
  | {
      readonly kind: "id_lists_updated";
      readonly sdkKey: SdkKey;
      readonly lists: number;
      readonly source: "upstream" | "backup" | "offline";
    }
  /** Upstream still has the lists that are held. */
  | { readonly kind: "id_lists_unchanged"; readonly sdkKey: SdkKey }
  /** Upstream sent something that is not a manifest. What is held stays. */
  | {
      readonly kind: "id_lists_refused";
      readonly sdkKey: SdkKey;
      readonly detail: string;
      readonly held: boolean;
    }
  /** A request for a manifest failed. What is held stays. */
  | {
      readonly kind: "id_lists_fetch_failed";
      readonly sdkKey: SdkKey;
      readonly cause: string;
      readonly detail: string;
      readonly held: boolean;
    }
  /** Upstream rejected the SDK key. */
  | {
      readonly kind: "id_lists_unauthorized";
      readonly sdkKey: SdkKey;
      readonly status: number;
      /** "kept": still served; "cleared": removed; "denied": nothing was held. */
      readonly whatIsHeld: "kept" | "cleared" | "denied";
    }
  /** The backup failed to read, write or remove a manifest. */
  | {
      readonly kind: "id_lists_backup_failed";
      readonly sdkKey: SdkKey;
      readonly action: "read" | "write" | "remove";
      readonly detail: string;
    }
  /** One list of a manifest cannot be served, while the others are. Emitted after each poll. */
  | {
      readonly kind: "id_list_left_out";
      readonly sdkKey: SdkKey;
      readonly list: string;
      readonly detail: string;
    }
  /** A list file on disk is new, or has grown. */
  | {
      readonly kind: "id_list_file_updated";
      readonly list: string;
      readonly fileID: string;
      readonly addedBytes: number;
      readonly bytes: number;
      readonly tookMs: number;
    }
  /** A list file could not be updated. What is on disk stays. */
  | { readonly kind: "id_list_file_failed"; readonly list: string; readonly detail: string }
  /** A list file was deleted from disk. */
  | { readonly kind: "id_list_file_removed"; readonly bytes: number }
  /** No file can be stored: manifests are passed through, with upstream's URLs. */
  | { readonly kind: "id_lists_folder_unusable"; readonly detail: string };

export type EmitIdListEvent = (event: IdListEvent) => void;
