import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import { ManifestRecovery, ManifestWriter } from "../id-lists/backup.ts";
import type { EmitIdListEvent } from "../id-lists/events.ts";
import { ListFileStore, type ListFileStoreStatus } from "../id-lists/file-store.ts";
import { ListFolder } from "../id-lists/folder.ts";
import type { ManifestSource } from "../id-lists/manifest.ts";
import { OfflineFiles, OfflineManifests } from "../id-lists/offline.ts";
import { OnDemandFiles } from "../id-lists/on-demand.ts";
import { PreloadedLists, type UnknownLists } from "../id-lists/preload.ts";
import { ProxiedLists } from "../id-lists/proxied-lists.ts";
import { IdListQuery } from "../id-lists/query.ts";
import { ManifestPoller, ManifestRefresher } from "../id-lists/refresh.ts";
import { type IdListService, type IdListSettings, LocalIdLists } from "../id-lists/service.ts";
import { ManifestStore } from "../id-lists/store.ts";
import type { Clock } from "../platform/clock.ts";
import type { Spacing } from "../platform/spacing.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Tracing } from "../telemetry/tracing/tracing.ts";
import { FailoverIdLists } from "../upstream/failover-id-lists.ts";
import { IdListFiles, StatsigIdLists } from "../upstream/id-lists.ts";
import { VERSION } from "../version.ts";
import type { RunningAccess } from "./access.ts";
import type { BackupParts } from "./backup.ts";
import type { RunningUpstream } from "./upstream.ts";

interface IdListParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "idLists">;
  readonly backup: BackupParts | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
  readonly upstream: RunningUpstream;
  /** Minimum time between the starts of two polls. */
  readonly spacing: Spacing;
}

export interface RunningIdLists extends AsyncDisposable {
  readonly query: IdListQuery;
  readonly service: IdListService;
  readonly settings: IdListSettings;
  /** Returns the SDK keys whose manifest is held. */
  readonly keys: () => Iterable<SdkKey>;
  /** Asks upstream for the manifest of a key now. Resolves with whether it answered; rejects only on shutdown. */
  readonly refresh: (sdkKey: SdkKey) => Promise<boolean>;
  /** Returns the reasons why the relay is not ready; empty if it is. */
  readonly notReady: () => readonly string[];
  /** Returns the state of the files for the status page; undefined without `--proxy-id-lists`. */
  readonly status: () => IdListFilesStatus | undefined;
  /** Applies another poll interval and other preloaded keys. */
  reconfigure(config: Config): void;
}

interface IdListFilesStatus extends ListFileStoreStatus {
  /** Why no file can be stored, and since when (ms since the Unix epoch). */
  readonly folderUnusable: { readonly reason: string; readonly since: number } | undefined;
  /** Preloaded keys for which upstream has sent no manifest. */
  readonly unknown: readonly UnknownLists[];
}

/** Starts the flow of ID lists from upstream to clients. */
export function startIdLists(config: Config, parts: IdListParts): RunningIdLists {
  const { clock, supervisor, backup, access, tracing, spacing } = parts;
  const { emit } = parts.telemetry.idLists;
  const running = new AsyncDisposableStack();
  const { maxKeys, maxRequestsInFlight: maxInFlight, pollIntervalMs: specIntervalMs } = config;
  const { gate } = access;
  const store = new ManifestStore({ maxKeys, allows: (sdkKey) => gate.allows(sdkKey) });
  access.admission.knownBy((sdkKey) => store.peek(sdkKey) !== undefined);
  access.allowList.onRemoved((removed) => {
    for (const sdkKey of removed) store.remove(sdkKey);
  });
  const opened = config.idLists.proxied ? openFiles(config, parts) : undefined;
  const files = running.use(opened?.files);
  const proxied = files && new ProxiedLists(files, store);
  const { offline } = config.bootstrap;
  const onDemand =
    config.idLists.proxied || offline ? undefined : startOnDemand(config, { ...parts, store, running });
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const writer =
    backup && !offline ? running.use(startManifestWriter(backup, { clock, emit, store })) : undefined;
  const manifests = new ManifestRefresher({
    source: tracing.manifestSource(openSource(config, parts, files)),
    sourceName: offline ? "offline" : "upstream",
    store,
    emit,
    maxInFlight,
    clearOnUnauthorized: config.clearOnUnauthorized,
    writer,
    signal: stopping.signal,
  });
  const refresher = tracing.manifests(manifests);
  const poller = running.use(
    new ManifestPoller({ store, refresher, clock, supervisor, spacing, specIntervalMs }),
  );
  const isRemoving = (sdkKey: SdkKey) => writer?.isRemoving(sdkKey) === true;
  const recovery = backup && new ManifestRecovery({ backup: backup.manifests, store, emit, isRemoving });
  const query = new IdListQuery({
    store,
    refresher,
    clock,
    recovery,
    proxied,
    maxNegativeEntries: maxKeys,
    gate,
  });
  let retryMs = specIntervalMs;
  const retryEveryMs = () => retryMs;
  const allows = (sdkKey: SdkKey) => store.allows(sdkKey);
  const preloaded = running.use(
    proxied &&
      new PreloadedLists({ query, proxied, clock, supervisor, allows, retryEveryMs }, config.preloadSdkKeys),
  );
  return {
    query,
    service: new LocalIdLists({ query, proxied, onDemand }),
    settings: { files: findFiles(proxied, onDemand), publicUrl: config.idLists.publicUrl },
    keys: () => store.keys(),
    refresh: async (sdkKey) => (await manifests.refreshAfresh(sdkKey)) === "fresh",
    notReady: () => preloaded?.notReady() ?? [],
    status: () => opened && toStatus(opened, preloaded),
    reconfigure({ pollIntervalMs, preloadSdkKeys }) {
      retryMs = pollIntervalMs;
      poller.setSpecInterval(pollIntervalMs);
      preloaded?.setKeys(preloadSdkKeys);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** `files`: undefined if the relay serves no files. */
function openSource(
  { bootstrap }: Config,
  { backup, clock, upstream: { endpoints } }: IdListParts,
  files: ListFileStore | undefined,
): ManifestSource {
  if (bootstrap.offline) return new OfflineManifests(files && backup?.manifests);
  return new FailoverIdLists({
    ...{ endpoints, clock },
    openSource: ({ endpoint }) => new StatsigIdLists(endpoint, clock),
  });
}

function findFiles(proxied?: ProxiedLists, onDemand?: OnDemandFiles): IdListSettings["files"] {
  if (proxied !== undefined) return "proxied";
  return onDemand === undefined ? "elsewhere" : "on_demand";
}

interface OnDemandParts extends IdListParts {
  readonly store: ManifestStore;
  readonly running: AsyncDisposableStack;
}

/** Claims a folder only when a file is asked for: most relays never are. */
function startOnDemand(
  config: Config,
  { store, running, clock, supervisor, ...parts }: OnDemandParts,
): OnDemandFiles {
  const { givenFilesUrl, refreshesFiles } = config.idLists;
  const { endpoints } = parts.upstream;
  const openStore = () => {
    if (running.disposed) return undefined;
    const { files } = openFiles(config, { clock, supervisor, ...parts });
    return running.use(files);
  };
  const onDemand = new OnDemandFiles({
    ...{ openStore, clock, gate: parts.access.gate },
    baseUrl: () => givenFilesUrl ?? endpoints.inUse.endpoint.baseUrl,
  });
  if (refreshesFiles) onDemand.follow(store, (work) => void supervisor.task("id_list_files", work));
  return onDemand;
}

function startManifestWriter(
  { manifests, touchEveryMs, onReturn }: BackupParts,
  parts: { readonly clock: Clock; readonly emit: EmitIdListEvent; readonly store: ManifestStore },
): ManifestWriter {
  const writer = new ManifestWriter({ backup: manifests, rewriteEveryMs: touchEveryMs, ...parts });
  onReturn?.(() => writer.writeAgain());
  return writer;
}

/** `files` is undefined if the folder cannot be used, and `folderUnusable` if it can. */
interface OpenedFiles {
  readonly files: ListFileStore | undefined;
  readonly folderUnusable: IdListFilesStatus["folderUnusable"];
}

/** If the folder is unusable, this is reported once, and manifests are passed through. */
function openFiles(config: Config, { clock, supervisor, telemetry }: IdListParts): OpenedFiles {
  const { maxBytes, maxDownloads, givenFilesUrl: baseUrl } = config.idLists;
  const { emit } = telemetry.idLists;
  try {
    using opening = new DisposableStack();
    const folder = opening.use(ListFolder.claim(config.local.path));
    const { timeouts: limits } = config.upstream;
    const source = config.bootstrap.offline
      ? new OfflineFiles()
      : new IdListFiles(clock, { relayVersion: VERSION, limits, baseUrl });
    const files = new ListFileStore({ folder, source, clock, supervisor, emit, maxBytes, maxDownloads });
    opening.move();
    return { files, folderUnusable: undefined };
  } catch (error) {
    const reason = String(error);
    emit({ kind: "id_lists_folder_unusable", detail: reason });
    return { files: undefined, folderUnusable: { reason, since: clock.now() } };
  }
}

function toStatus({ files, folderUnusable }: OpenedFiles, preloaded?: PreloadedLists): IdListFilesStatus {
  const status = files?.status ?? { files: 0, bytes: 0, problems: [] };
  return { ...status, folderUnusable, unknown: preloaded?.unknown ?? [] };
}
