import { LRUCache } from "lru-cache";
import type { KeyGate, Refusal } from "../access/admission.ts";
import { MISS_TIMEOUT_MS } from "../access/negative-cache.ts";
import { redactSecrets } from "../access/redact.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { ListFileStore } from "./file-store.ts";
import type { FileFailure, ListFile } from "./folder.ts";
import type { IdListEntry } from "./manifest.ts";
import type { HeldManifest, ManifestStore } from "./store.ts";

/** The path of files that SDKs expect, followed by the fileID. */
export const FILE_PATH = "/v1/download_id_list_file/";

/** The path of files on the hosts that Statsig's manifests name. */
const BLOB_PATH = "/idlists/";

/** Limit of files; beyond it, the least recently used one is removed. Their bytes have a limit of their own. */
const MAX_FILES = 10_000;

/** How long a file that does not have what was asked for is not asked for again, and the folder not tried again. */
const RETRY_AFTER_MS = 30_000;

/** Limit of files of one manifest that are fetched at once. */
const MAX_REFRESHES = 8;

/** A request for a file, as the original proxy reads it. */
export interface FileRequest {
  readonly sdkKey: SdkKey;
  /** The first segment of the path after {@link FILE_PATH}, still percent-encoded. */
  readonly encodedId: string;
  /** The query as the client sent it, without `?`. It may hold a signature. */
  readonly query: string;
  /** Where the range begins; undefined for the whole file. */
  readonly rangeStart: number | undefined;
  /** The size that the client knows from a manifest. */
  readonly knownSize: number | undefined;
}

type FileLookup =
  | { readonly kind: "found"; readonly file: ListFile; readonly path: string }
  | Refusal
  /** Upstream sent no file, or not in time. The download continues. */
  | { readonly kind: "unavailable"; readonly retryAfterMs: number };

interface OnDemandFilesOptions {
  readonly gate: Pick<KeyGate, "refusal">;
  /** Opens the store when a file is first asked for. Returns undefined if the folder cannot be used. */
  readonly openStore: () => ListFileStore | undefined;
  /** Returns the URL that files are fetched from now. Has no trailing slash. */
  readonly baseUrl: () => string;
  readonly clock: Clock;
}

/**
 * Fetches a file when a client asks for it and serves it from disk, as `/v1/download_id_list_file` of the original proxy does
 * from memory. A file is fetched whole: without the manifest, it is not known whether it was appended to or replaced.
 */
export class OnDemandFiles {
  readonly #options: OnDemandFilesOptions;
  readonly #files = new LRUCache<string, ListFile>({
    max: MAX_FILES,
    dispose: (file) => this.#store?.release(file),
  });
  /** The fileIDs of files that were asked for in vain, whatever size a client claims to know. */
  readonly #recent: LRUCache<string, true>;
  readonly #updates = new Map<string, Promise<void>>();
  #store: ListFileStore | undefined;
  #mayOpenAt = Number.NEGATIVE_INFINITY;

  constructor(options: OnDemandFilesOptions) {
    this.#options = options;
    const perf = { now: () => options.clock.elapsed() };
    this.#recent = new LRUCache({ max: MAX_FILES, ttl: RETRY_AFTER_MS, perf, ttlResolution: 0 });
  }

  /** Resolves within {@link MISS_TIMEOUT_MS}. A file that could not be fetched again is served as it was. */
  async find(request: FileRequest): Promise<FileLookup> {
    const { gate, clock } = this.#options;
    const refusal = await gate.refusal(request.sdkKey);
    if (refusal !== undefined) return refusal;
    const found = await withTimeout(this.#fetch(request), MISS_TIMEOUT_MS, clock);
    return found ?? { kind: "unavailable", retryAfterMs: RETRY_AFTER_MS };
  }

  /** The file could not be read for a client. It is fetched again when it is asked for next. */
  reportUnreadable(digest: string, failure: FileFailure): void {
    this.#store?.reportUnreadable(digest, failure);
  }

  async #fetch(request: FileRequest): Promise<FileLookup | undefined> {
    const entry = this.#toEntry(request);
    const store = this.#openStore();
    if (store === undefined || entry === undefined) return undefined;
    const file = this.#files.get(entry.fileID) ?? store.findOrAdd(entry);
    store.use(file);
    try {
      while (!satisfies(file, request) && !this.#recent.has(entry.fileID))
        await (this.#updates.get(entry.fileID) ?? this.#startUpdate(store, file, request, entry));
    } finally {
      store.release(file);
    }
    const found = store.find(file.fileID, file.digest);
    return found && { kind: "found", ...found };
  }

  /** One update of a file runs at a time: clients that ask meanwhile wait for it, whatever size they know. */
  #startUpdate(
    store: ListFileStore,
    file: ListFile,
    request: FileRequest,
    entry: IdListEntry,
  ): Promise<void> {
    const updating = this.#update(store, file, request, entry).finally(() =>
      this.#updates.delete(entry.fileID),
    );
    this.#updates.set(entry.fileID, updating);
    return updating;
  }

  async #update(
    store: ListFileStore,
    file: ListFile,
    request: FileRequest,
    entry: IdListEntry,
  ): Promise<void> {
    file.isDamaged = file.isWhole;
    await store.update(file, entry, request.sdkKey);
    if (!satisfies(file, request)) this.#recent.set(entry.fileID, true);
    // IDs that clients make up must not take the places of files.
    const isStored = file.isWhole || file.bytes > 0;
    if (!isStored || this.#files.has(entry.fileID)) return;
    store.use(file);
    this.#files.set(entry.fileID, file);
  }

  /** Each failure is logged, so clients must not cause one with every request. */
  #openStore(): ListFileStore | undefined {
    const { clock, openStore } = this.#options;
    if (this.#store === undefined && clock.elapsed() >= this.#mayOpenAt) {
      this.#mayOpenAt = clock.elapsed() + RETRY_AFTER_MS;
      this.#store = openStore();
    }
    return this.#store;
  }

  /** Fetches the files that each new manifest names, in the background. */
  follow(manifests: ManifestStore, supervise: (work: () => Promise<void>) => void): void {
    manifests.listen({ put: (held) => supervise(() => this.#refreshAll(held)), removed: () => {} });
  }

  async #refreshAll({ sdkKey, manifest }: HeldManifest): Promise<void> {
    const requests = [...manifest.entries.values()].flatMap((entry) => toRequest(sdkKey, entry) ?? []);
    const next = requests.values();
    const work = async () => {
      for (const request of next) await this.#fetch(request);
    };
    await Promise.all(Array.from({ length: MAX_REFRESHES }, work));
  }

  #toEntry({ encodedId, query, knownSize = 0 }: FileRequest): IdListEntry | undefined {
    // The range of one client must not become that of the file.
    const kept = query.split("&").filter((part) => part !== "" && !part.startsWith("range="));
    const url = createFileUrl(this.#options.baseUrl(), encodedId, kept.join("&"));
    if (url === undefined) return undefined;
    return {
      // Logged. The client may have put its SDK key here.
      name: redactSecrets(encodedId),
      fileID: encodedId,
      url,
      size: knownSize,
      creationTime: 0,
    };
  }
}

/** Returns whether the file has what was asked for, by the rules of the original proxy. */
function satisfies({ isWhole, isDamaged, bytes }: ListFile, { rangeStart, knownSize }: FileRequest): boolean {
  if (!isWhole || isDamaged) return false;
  if (knownSize !== undefined && bytes < knownSize) return false;
  return rangeStart === undefined || bytes > rangeStart || (bytes === rangeStart && knownSize === bytes);
}

/** Returns the request for the file of a manifest's entry; undefined if its URL is not one that the original proxy fetches. */
function toRequest(sdkKey: SdkKey, { url, size }: IdListEntry): FileRequest | undefined {
  const file = parseFileUrl(url);
  return file && { sdkKey, ...file, rangeStart: 0, knownSize: size };
}

/** Returns the URL of the same file on another host; undefined if the paths of that host are not known. */
export function moveFileUrl(url: string, baseUrl: string): string | undefined {
  const file = parseFileUrl(url);
  return file && createFileUrl(baseUrl, file.encodedId, file.query);
}

function parseFileUrl(url: string): Pick<FileRequest, "encodedId" | "query"> | undefined {
  const { pathname, search } = new URL(url);
  const prefix = [FILE_PATH, BLOB_PATH].find((each) => pathname.startsWith(each));
  const encodedId = prefix && pathname.slice(prefix.length).split("/")[0];
  return encodedId ? { encodedId, query: search.slice(1) } : undefined;
}

/** Returns undefined for an ID such as `%2e%2e`, which would lead to another path. */
function createFileUrl(baseUrl: string, encodedId: string, query: string): string | undefined {
  const url = URL.parse(`${baseUrl}${FILE_PATH}${encodedId}`);
  if (!url?.pathname.endsWith(`${FILE_PATH}${encodedId}`)) return undefined;
  return `${url.origin}${url.pathname}${query === "" ? "" : `?${query}`}`;
}
