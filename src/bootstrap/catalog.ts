import { startWorker } from "#runtime/threads.ts";
import { djb2, type SdkKey } from "../access/sdk-key.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { Feed } from "../specs/feed.ts";
import type { UnusableFile } from "./events.ts";
import { type ListedFile, type Listing, NO_FILES } from "./folder.ts";
import type { Inspection, InspectionRequest } from "./inspect.ts";
import { readName, sha256 } from "./names.ts";

/** A file with a config spec that can be served. */
export interface SpecFile extends Extract<Inspection, { kind: "spec" }> {
  readonly name: string;
  readonly path: string;
  readonly signature: string;
  readonly keyDigest: string | undefined;
}

type Entry =
  | SpecFile
  | (UnusableFile & { readonly kind: "unusable"; readonly signature: string | undefined });

/** The result of reading a folder again. */
export interface CatalogChange {
  /** Files that are new, were changed or became unusable. */
  readonly changed: readonly Entry[];
  readonly isChanged: boolean;
}

interface CatalogOptions {
  readonly supervisor: Supervisor;
  readonly maxBytes: number;
}

/** Many times as long as the largest file takes. */
const SILENCE_LIMIT_MS = 5 * 60_000;

/** Which file has which config spec. Holds what was found out about each file, and not its contents. */
export class BootstrapCatalog {
  readonly #options: CatalogOptions;
  #entries: ReadonlyMap<string, Entry> = new Map();
  /** Why there is no file at all. */
  #problem: string | undefined;

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  get usable(): readonly SpecFile[] {
    return [...this.#entries.values()].filter((entry) => entry.kind === "spec");
  }

  get unusable(): readonly UnusableFile[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.kind === "unusable")
      .map(({ name, reason }) => ({ name, reason }));
  }

  /** Why nothing can be served; undefined if something can. */
  get problem(): string | undefined {
    if (this.usable.length > 0) return undefined;
    const [first, ...others] = this.unusable;
    if (first === undefined) return this.#problem ?? NO_FILES;
    const rest = others.length === 0 ? "" : `, and ${others.length} more files are unusable`;
    return `${first.name}: ${first.reason}${rest}`;
  }

  /** Inspects what has changed. If the folder cannot be read, what was known stays. */
  async update(listing: Listing): Promise<CatalogChange> {
    if (listing.kind === "failed") {
      this.#problem = listing.reason;
      return { changed: [], isChanged: false };
    }
    this.#problem = undefined;
    await using inspector = startInspector(this.#options.supervisor);
    const before = this.#entries;
    const entries = new Map<string, Entry>();
    for (const file of listing.files) {
      const known = before.get(file.name);
      const isSame = known !== undefined && known.signature === file.signature && isSameProblem(known, file);
      entries.set(file.name, isSame ? known : await this.#inspect(file, inspector));
    }
    this.#entries = entries;
    const changed = [...entries.values()].filter((entry) => before.get(entry.name) !== entry);
    return { changed, isChanged: changed.length > 0 || entries.size !== before.size };
  }

  async #inspect({ name, path, signature, problem }: ListedFile, inspector: Inspector): Promise<Entry> {
    if (signature === undefined) {
      return { kind: "unusable", name, signature, reason: problem ?? "it cannot be read" };
    }
    const { maxBytes } = this.#options;
    const inspected = await inspector
      .call({ name, path, maxBytes })
      .catch(
        (error: unknown) => ({ kind: "unusable", reason: `it could not be checked: ${error}` }) as const,
      );
    if (inspected.kind === "unusable") return { ...inspected, name, signature };
    return { ...inspected, name, path, signature, keyDigest: readName(name).keyDigest };
  }

  /** Returns the files that can be served for a feed, the best first: those that name its SDK key, then those with the newest version. */
  find(feed: Feed): readonly SpecFile[] {
    const isFor = keyFilter(feed.sdkKey);
    const fits = ({ version, format }: SpecFile) =>
      // A client that reads protobuf reads JSON as well.
      version === feed.version && (format === feed.format || feed.format === "proto");
    const isExact = ({ format }: SpecFile) => format === feed.format;
    return this.usable
      .filter((file) => fits(file) && isFor(file))
      .sort(
        (one, other) =>
          Number(namesKey(other)) - Number(namesKey(one)) ||
          other.lcut - one.lcut ||
          Number(isExact(other)) - Number(isExact(one)),
      );
  }
}

/** Returns whether only one SDK key gets what the file has. */
export function namesKey({ hashedSdkKey, keyDigest }: SpecFile): boolean {
  return hashedSdkKey !== undefined || keyDigest !== undefined;
}

function keyFilter(sdkKey: SdkKey): (file: SpecFile) => boolean {
  const [hash, digest] = [djb2(sdkKey), sha256(sdkKey)];
  return ({ hashedSdkKey = hash, keyDigest = digest }) =>
    hashedSdkKey === hash && digest.startsWith(keyDigest);
}

function isSameProblem(known: Entry, { signature, problem }: ListedFile): boolean {
  return signature !== undefined || (known.kind === "unusable" && known.reason === problem);
}

type Inspector = WorkerCalls<InspectionRequest, Inspection>;

/** The Worker ends when the files were read, and its memory is freed. */
function startInspector(supervisor: Supervisor): Inspector {
  return new WorkerCalls({
    name: "the worker that reads --bootstrap-path",
    start: () => startWorker(new URL("./inspect-worker.ts", import.meta.url)),
    silenceLimitMs: SILENCE_LIMIT_MS,
    onLost: (error) => supervisor.caught("bootstrap_worker", error),
  });
}
