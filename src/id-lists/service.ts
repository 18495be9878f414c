import type { Refusal, Throttled } from "../access/admission.ts";
import type { NegativeEntry } from "../access/negative-cache.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import type { FileFailure, ListFile } from "./folder.ts";
import { type IdListEntry, MISSING_FILE_ID, missingEntry } from "./manifest.ts";
import { FILE_PATH, type FileRequest, type OnDemandFiles } from "./on-demand.ts";
import type { ProxiedLists, ServedList } from "./proxied-lists.ts";
import type { IdListQuery } from "./query.ts";

/** How clients get ID lists. Arguments and results are plain data, so that another thread can call the service. */
export interface IdListService {
  /** Returns the manifest of a key, after a request to upstream if it is not cached. */
  manifest(request: ManifestRequest): Promise<ManifestLookup>;
  /** Returns a file that a manifest of the relay names, or undefined if no such file is on disk. Needs `proxied` files. */
  file(name: FileName): Promise<ServedFile | undefined>;
  /** Returns a file, after a request to upstream if it is not on disk. Needs `on_demand` files. */
  fileOnDemand(request: FileRequest): Promise<FileLookup>;
  /** Records that a file could not be read for a client, so that it is fetched again. */
  reportUnreadable(report: UnreadableFile): Promise<void>;
}

/** What does not change while the relay runs. */
export interface IdListSettings {
  /**
   * Where clients get the files: `proxied`, from the relay as its manifests say; `on_demand`, from the relay, which fetches them
   * when clients ask; `elsewhere`, from the hosts that upstream's manifests name.
   */
  readonly files: "proxied" | "on_demand" | "elsewhere";
  /** Scheme, host and port by which clients reach the relay. Undefined uses those of the request. */
  readonly publicUrl: string | undefined;
}

export interface ManifestRequest {
  readonly sdkKey: SdkKey;
  /** Scheme, host and port of the files that the relay serves. */
  readonly filesBase: string;
}

export type ManifestLookup =
  /** JSON, as text: for 10,000 lists it crosses to another thread ten times faster than the lists. */
  { readonly kind: "manifest"; readonly text: string } | NegativeEntry | Throttled;

export interface FileName {
  readonly fileID: string;
  /** The beginning of the file's digest, which may be empty. */
  readonly digest: string;
}

/** A file on disk that is whole and verified. */
export interface ServedFile {
  readonly digest: string;
  readonly bytes: number;
  readonly path: string;
}

export type FileLookup =
  | { readonly kind: "found"; readonly file: ServedFile }
  | Refusal
  /** Upstream sent no file, or not in time. The download continues. */
  | { readonly kind: "unavailable"; readonly retryAfterMs: number };

export interface UnreadableFile extends FileFailure {
  /** The whole digest of the file. */
  readonly digest: string;
}

interface LocalIdListsOptions {
  readonly query: IdListQuery;
  /** Set if the relay serves the files that its manifests name. */
  readonly proxied: ProxiedLists | undefined;
  /** Set if the relay fetches files only when clients ask for them. */
  readonly onDemand: OnDemandFiles | undefined;
}

/** The service in the thread that has the lists. */
export class LocalIdLists implements IdListService {
  readonly #options: LocalIdListsOptions;

  constructor(options: LocalIdListsOptions) {
    this.#options = options;
  }

  async manifest({ sdkKey, filesBase }: ManifestRequest): Promise<ManifestLookup> {
    const { query, proxied } = this.#options;
    const found = await query.ask(sdkKey);
    if (found.kind !== "held") return found;
    if (proxied === undefined) return { kind: "manifest", text: found.held.manifest.text };
    const lists = proxied
      .servedLists(found.held)
      .map((list) => [list.name, toEntry(list, filesBase)] as const);
    return { kind: "manifest", text: JSON.stringify(Object.fromEntries(lists)) };
  }

  async file({ fileID, digest }: FileName): Promise<ServedFile | undefined> {
    const found = this.#options.proxied?.find(fileID, digest);
    return found && toServedFile(found);
  }

  async fileOnDemand(request: FileRequest): Promise<FileLookup> {
    const { onDemand } = this.#options;
    if (onDemand === undefined) throw new Error("this relay does not fetch files of ID lists on demand");
    const found = await onDemand.find(request);
    return found.kind === "found" ? { kind: "found", file: toServedFile(found) } : found;
  }

  async reportUnreadable({ digest, ...failure }: UnreadableFile): Promise<void> {
    const { proxied, onDemand } = this.#options;
    for (const files of [proxied, onDemand]) files?.reportUnreadable(digest, failure);
  }
}

/** The length of the digest in the URL of a file that shares its fileID with another file. */
const DIGEST_CHARS = 16;

function toEntry(list: ServedList, base: string): IdListEntry {
  switch (list.kind) {
    case "missing":
      return { ...missingEntry(list.name), url: `${base}${FILE_PATH}${MISSING_FILE_ID}` };
    case "on_disk": {
      const { name, file, needsDigest } = list;
      const { fileID, creationTime, bytes: size, digest } = file;
      const path = `${FILE_PATH}${encodeURIComponent(fileID)}`;
      const url = `${base}${path}${needsDigest ? `?of=${digest.slice(0, DIGEST_CHARS)}` : ""}`;
      return { name, url, fileID, size, creationTime };
    }
  }
}

function toServedFile({ file, path }: { readonly file: ListFile; readonly path: string }): ServedFile {
  const { digest, bytes } = file;
  return { digest, bytes, path };
}
