import type { SdkKey } from "../access/sdk-key.ts";

/** What happens to ID lists, for whoever watches. `detail` is for people, and holds no SDK key. */
export type IdListEvent =
  /** The lists of a key are not those they were, or come to be known. */
  | {
      readonly kind: "id_lists_updated";
      readonly sdkKey: SdkKey;
      readonly lists: number;
      readonly source: "upstream" | "backup";
    }
  /** Upstream has those that are held. */
  | { readonly kind: "id_lists_unchanged"; readonly sdkKey: SdkKey }
  /** Upstream sent what is no manifest: what is held stays. */
  | {
      readonly kind: "id_lists_refused";
      readonly sdkKey: SdkKey;
      readonly detail: string;
      readonly held: boolean;
    }
  | {
      readonly kind: "id_lists_fetch_failed";
      readonly sdkKey: SdkKey;
      readonly cause: string;
      readonly detail: string;
      readonly held: boolean;
    }
  | {
      readonly kind: "id_lists_unauthorized";
      readonly sdkKey: SdkKey;
      readonly status: number;
      /** What was held is still served, was dropped, or there was nothing held. */
      readonly whatIsHeld: "kept" | "cleared" | "denied";
    }
  | {
      readonly kind: "id_lists_backup_failed";
      readonly sdkKey: SdkKey;
      readonly action: "read" | "write" | "remove";
      readonly detail: string;
    }
  /** One list of a manifest can't be served to anybody; the others are. Said after each poll. */
  | {
      readonly kind: "id_list_left_out";
      readonly sdkKey: SdkKey;
      readonly list: string;
      readonly detail: string;
    }
  /** A list's file has grown on disk, or is there for the first time. */
  | {
      readonly kind: "id_list_file_updated";
      readonly list: string;
      readonly addedBytes: number;
      readonly bytes: number;
      readonly tookMs: number;
    }
  /** The file could not be brought up to date: what is there of it stays. */
  | { readonly kind: "id_list_file_failed"; readonly list: string; readonly detail: string }
  | { readonly kind: "id_list_file_removed"; readonly bytes: number }
  /** Files can't be kept: manifests are passed through with upstream's own urls. */
  | { readonly kind: "id_lists_folder_unusable"; readonly detail: string };

export type EmitIdListEvent = (event: IdListEvent) => void;
