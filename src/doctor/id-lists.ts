import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { ListFileResponse, ListFileSource } from "../id-lists/download.ts";
import {
  type IdListEntry,
  type ManifestSource,
  MISSING_FILE_ID,
  parseManifest,
} from "../id-lists/manifest.ts";
import { type Check, type CheckResult, failed, MAX_CHECKED_KEYS, ok, skipped, warning } from "./check.ts";

interface IdListsToCheck {
  readonly sdkKeys: readonly SdkKey[];
  readonly manifests: ManifestSource;
  readonly files: ListFileSource;
  /** Whether the relay fetches files itself; otherwise SDKs do, perhaps by another route. */
  readonly fetchesFiles: boolean;
}

/** Enough hosts to find a firewall that blocks one of them. */
const MAX_HOSTS = 3;

const CHECK_ENDPOINT = "check that STATSIG_ENDPOINT is an upstream that serves ID lists";
const FIX_HOST =
  "allow connections to this host (firewall, egress policy), or set STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE to another one";

/** Checks whether upstream has the ID lists of each preloaded key, and whether the hosts of their files respond. */
export function idListsCheck(lists: IdListsToCheck): Check {
  return {
    name: "ID lists",
    run: async (signal) => {
      const { sdkKeys, manifests } = lists;
      if (sdkKeys.length === 0) return [skipped("--preload-sdk-keys is not set")];
      const checked = sdkKeys.slice(0, MAX_CHECKED_KEYS);
      const found = await Promise.all(checked.map((sdkKey) => readManifest(sdkKey, manifests, signal)));
      const hosts = findHosts(found.flatMap(({ entries }) => entries));
      const files = await Promise.all(hosts.map((entry) => fetchByte(entry, lists, signal)));
      const rest = sdkKeys.length - MAX_CHECKED_KEYS;
      return [...found.map(({ result }) => result), ...(rest > 0 ? [skipped(`${rest} more`)] : []), ...files];
    },
  };
}

interface FoundManifest {
  readonly result: CheckResult;
  readonly entries: readonly IdListEntry[];
}

async function readManifest(
  sdkKey: SdkKey,
  manifests: ManifestSource,
  signal: AbortSignal,
): Promise<FoundManifest> {
  const shown = maskSdkKey(sdkKey);
  const fetched = await manifests.fetchManifest(sdkKey, signal);
  // SDKs without ID lists work without a manifest.
  const problem = (detail: string, fix: string) => ({
    result: warning(`${shown}: ${detail}`, fix),
    entries: [],
  });
  switch (fetched.kind) {
    case "unauthorized":
      return problem(
        `upstream rejects the key for ID lists (${fetched.status})`,
        "see the check of SDK keys",
      );
    case "failed":
      return problem(`no manifest of ID lists: ${fetched.detail}`, CHECK_ENDPOINT);
    case "manifest": {
      const manifest = parseManifest(fetched.text);
      if (typeof manifest === "string")
        return problem(`upstream sent an invalid manifest of ID lists: ${manifest}`, CHECK_ENDPOINT);
      const entries = [...manifest.entries.values()];
      return { result: ok(`${shown}: ${entries.length} ID lists`), entries };
    }
  }
}

/** Returns one file of each host. */
function findHosts(entries: readonly IdListEntry[]): readonly IdListEntry[] {
  const onDisk = entries.filter(({ fileID }) => fileID !== MISSING_FILE_ID);
  const byHost = new Map(onDisk.map((entry) => [new URL(entry.url).host, entry]));
  return [...byHost.values()].slice(0, MAX_HOSTS);
}

/** Fetches the last byte of a file only, since a file may have gigabytes. */
async function fetchByte(
  { url, size }: IdListEntry,
  { files, fetchesFiles }: IdListsToCheck,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { host } = new URL(url);
  const problem = await tryFile(await files.fetchFile(url, Math.max(0, size - 1), signal, size));
  if (problem === undefined) return ok(`${host} serves files of ID lists`);
  const detail = `${host} serves no file of an ID list: ${problem}`;
  return fetchesFiles
    ? failed(detail, FIX_HOST)
    : warning(`${detail}; SDKs fetch the files themselves`, FIX_HOST);
}

/** Returns why the response has no byte of the file, or undefined if it has one. A file may have become shorter meanwhile. */
async function tryFile(response: ListFileResponse): Promise<string | undefined> {
  if (response.kind === "failed") return response.detail;
  if (response.kind === "range_not_satisfiable") return undefined;
  try {
    // Ending the iteration cancels the rest of the download.
    for await (const _ of response.chunks) break;
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
