import type { Throttled } from "../access/admission.ts";
import type { NegativeEntry } from "../access/negative-cache.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import type { ListFile } from "./folder.ts";
import type { FileRequest, OnDemandFiles } from "./on-demand.ts";
import type { ProxiedLists, ServedList } from "./proxied-lists.ts";
import type { IdListQuery } from "./query.ts";

/** How clients get ID lists. Arguments and results are plain data, so that the service can be called from other threads. */
export interface IdListService {
  /** Returns the lists of a key, after a request to upstream if they are not cached. */
  manifest(sdkKey: SdkKey): Promise<ManifestLookup>;
  /** Returns a file of the manifests that the relay serves the files of. `digest`: the beginning of its digest, or nothing. */
  file(name: { readonly fileID: string; readonly digest: string }): Promise<ServedFile | undefined>;
  /** Returns a file, after a request to upstream if it is not on disk. */
  fileOnDemand(request: FileRequest): Promise<FileLookup>;
  /** Records that a file could not be read for a client. It is fetched again. */
  reportUnreadable(failure: UnreadableFile): Promise<void>;
}

/** Where clients get the files of ID lists. */
export interface IdListSettings {
  /** `proxied`: from the relay, as its manifests say; `on_demand`: from the relay, which fetches them when asked. */
  readonly files: "proxied" | "on_demand" | "elsewhere";
  /** Scheme, host and port by which clients reach the relay. Undefined uses those of the request. */
  readonly publicUrl: string | undefined;
}

export type ManifestLookup =
  /** The relay serves the files. */
  | { readonly kind: "lists"; readonly lists: readonly ListedFile[] }
  /** The text that upstream sent. */
  | { readonly kind: "text"; readonly text: string }
  | NegativeEntry
  | Throttled;

/** A list as the relay's manifest names it. */
export type ListedFile =
  | {
      readonly kind: "on_disk";
      readonly name: string;
      readonly fileID: string;
      readonly bytes: number;
      /** In ms since the Unix epoch. */
      readonly creationTime: number;
      /** Set if another file has the same fileID, so that the URL needs the digest. */
      readonly digest: string | undefined;
    }
  /** Upstream's manifest names the list, but no file of it is on disk. */
  | { readonly kind: "missing"; readonly name: string };

/** A file on disk that is whole and verified. */
export interface ServedFile {
  readonly fileID: string;
  readonly digest: string;
  readonly bytes: number;
  readonly path: string;
}

export type FileLookup =
  | { readonly kind: "found"; readonly file: ServedFile }
  | { readonly kind: "unauthorized" }
  | Throttled
  /** Upstream sent no file, or not in time. The download continues. */
  | { readonly kind: "unavailable"; readonly retryAfterMs: number };

export interface UnreadableFile {
  readonly file: Pick<ServedFile, "fileID" | "digest">;
  /** The system's error code, such as EIO; undefined if there is none. */
  readonly code: string | undefined;
  readonly detail: string;
}

interface LocalIdListsOptions {
  readonly query: IdListQuery;
  /** Set if the relay serves the files that its manifests name. */
  readonly proxied: ProxiedLists | undefined;
  /** Set if the relay fetches files only when clients ask for them. */
  readonly onDemand: OnDemandFiles | undefined;
}

/** The ID lists of this thread. */
export class LocalIdLists implements IdListService {
  readonly #options: LocalIdListsOptions;

  constructor(options: LocalIdListsOptions) {
    this.#options = options;
  }

  async manifest(sdkKey: SdkKey): Promise<ManifestLookup> {
    const { query, proxied } = this.#options;
    const found = await query.ask(sdkKey);
    if (found.kind !== "held") return found;
    if (proxied === undefined) return { kind: "text", text: found.held.manifest.text };
    return { kind: "lists", lists: proxied.servedLists(found.held).map(toListedFile) };
  }

  async file({ fileID, digest }: { readonly fileID: string; readonly digest: string }) {
    const found = this.#options.proxied?.find(fileID, digest);
    return found && toServedFile(found);
  }

  async fileOnDemand(request: FileRequest): Promise<FileLookup> {
    const { onDemand } = this.#options;
    if (onDemand === undefined) return { kind: "unauthorized" };
    const found = await onDemand.find(request);
    return found.kind === "found" ? { kind: "found", file: toServedFile(found) } : found;
  }

  async reportUnreadable({ file, code, detail }: UnreadableFile): Promise<void> {
    const error = Object.assign(new Error(detail), code === undefined ? {} : { code });
    const { proxied, onDemand } = this.#options;
    for (const files of [proxied, onDemand]) files?.reportUnreadable(file, error);
  }
}

function toServedFile({ file, path }: { readonly file: ListFile; readonly path: string }): ServedFile {
  const { fileID, digest, bytes } = file;
  return { fileID, digest, bytes, path };
}

function toListedFile(list: ServedList): ListedFile {
  if (list.kind === "missing") return list;
  const { name, file, needsDigest } = list;
  const { fileID, bytes, creationTime, digest } = file;
  return { kind: "on_disk", name, fileID, bytes, creationTime, digest: needsDigest ? digest : undefined };
}
