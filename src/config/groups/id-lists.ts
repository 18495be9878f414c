import type { OptionGroup } from "../option.ts";
import { type Environment, HTTP_URL, invalidValue, isHttpUrl, readUrl, type Settings } from "../settings.ts";

export interface IdListConfig {
  /**
   * `STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE`, without a trailing slash. If it is undefined, files that the relay proxies come from
   * where the manifest says, and others from the endpoint of upstream that is in use.
   */
  readonly givenFilesUrl: string | undefined;
  /** Whether the files that manifests name are fetched before clients ask for them, without changing the manifests. */
  readonly refreshesFiles: boolean;
  /** Whether the relay serves the files itself. */
  readonly proxied: boolean;
  /** Has no trailing slash. Undefined if the URL is taken from each request. */
  readonly publicUrl: string | undefined;
  /** Limit for all files together. */
  readonly maxBytes: number;
  /** Maximum concurrent downloads. */
  readonly maxDownloads: number;
}

const FILES_VARIABLE = "STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE";

/** Throws ConfigError. */
export function readIdLists(settings: Settings, env: Environment): IdListConfig {
  const filesUrl = readUrl(env, FILES_VARIABLE, "").replace(/\/+$/, "");
  const publicUrl = settings.text(ID_LISTS.publicUrl);
  if (publicUrl !== "" && !isHttpUrl(publicUrl)) {
    throw invalidValue(settings.shown(ID_LISTS.publicUrl), publicUrl, HTTP_URL);
  }
  return {
    givenFilesUrl: filesUrl || undefined,
    refreshesFiles: settings.flag(ID_LISTS.idListFileRefreshObserverEnabled),
    proxied: settings.flag(ID_LISTS.proxyIdLists),
    publicUrl: publicUrl.replace(/\/+$/, "") || undefined,
    maxBytes: settings.integer(ID_LISTS.idListsMaxInMb) * 1024 * 1024,
    maxDownloads: settings.integer(ID_LISTS.idListDownloads),
  };
}

export const ID_LISTS = {
  proxyIdLists: {
    name: "proxy-id-lists",
    kind: "flag",
    description: "Keep ID list files on disk and serve them; otherwise clients fetch them from upstream",
  },
  idListFileRefreshObserverEnabled: {
    name: "id-list-file-refresh-observer-enabled",
    kind: "flag",
    description:
      "Fetch the files that ID lists name before clients ask the relay for them; no effect with --proxy-id-lists",
  },
  publicUrl: {
    name: "public-url",
    kind: "text",
    placeholder: "URL",
    description: "URL of the relay in ID list manifests (Default: the URL that the client requested)",
  },
  idListsMaxInMb: {
    name: "id-lists-max-in-mb",
    kind: "integer",
    default: "4096",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Maximum size of all ID list files on disk in MB; no more are downloaded beyond it",
  },
  idListDownloads: {
    name: "id-list-downloads",
    kind: "integer",
    default: "32",
    min: 1,
    max: 128,
    placeholder: "FILES",
    description: "Maximum concurrent ID list downloads; one SDK key may use three quarters of them",
  },
} as const satisfies OptionGroup;
