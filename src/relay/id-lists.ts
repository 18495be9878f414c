import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import type { IdListService } from "../http/routes/id-lists.ts";
import { ManifestRecovery, ManifestWriter } from "../id-lists/backup.ts";
import type { EmitIdListEvent } from "../id-lists/events.ts";
import { ListFileStore, type ListFileStoreStatus } from "../id-lists/file-store.ts";
import { ListFolder } from "../id-lists/folder.ts";
import { PreloadedLists, type UnknownLists } from "../id-lists/preload.ts";
import { ProxiedLists } from "../id-lists/proxied-lists.ts";
import { IdListQuery } from "../id-lists/query.ts";
import { ManifestPoller, ManifestRefresher } from "../id-lists/refresh.ts";
import { ManifestStore } from "../id-lists/store.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Tracing } from "../telemetry/tracing/tracing.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { IdListFiles, StatsigIdLists } from "../upstream/id-lists.ts";
import { VERSION } from "../version.ts";
import type { RunningAccess } from "./access.ts";
import type { BackupParts } from "./backup.ts";

interface IdListParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "idLists">;
  readonly backup: BackupParts | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
}

export interface RunningIdLists extends AsyncDisposable {
  readonly service: IdListService;
  /** Why clients should not come yet; none if they may. */
  readonly notReady: () => readonly string[];
  /** What operators should know of the files; undefined without `--proxy-id-lists`. */
  readonly status: () => IdListReadings | undefined;
  /** Takes over another interval, and other preloaded keys. */
  reconfigure(config: Config): void;
}

interface IdListReadings extends ListFileStoreStatus {
  /** Why no file can be kept, and since when (ms since the Unix epoch). */
  readonly folderUnusable: { readonly reason: string; readonly since: number } | undefined;
  /** Preloaded keys that upstream gives no manifest for. */
  readonly unknown: readonly UnknownLists[];
}

/** The flow of ID lists from upstream to clients. */
export function startIdLists(config: Config, parts: IdListParts): RunningIdLists {
  const { clock, supervisor, backup, access, tracing } = parts;
  const { emit } = parts.telemetry.idLists;
  const running = new AsyncDisposableStack();
  const { maxKeys, maxRequestsInFlight: maxInFlight, pollIntervalMs: specIntervalMs } = config;
  const { upstreamUrl: baseUrl, upstreamProxied, publicUrl } = config.idLists;
  const { gate } = access;
  const store = new ManifestStore({ maxKeys, allows: (sdkKey) => gate.allows(sdkKey) });
  access.admission.knownBy((sdkKey) => store.peek(sdkKey) !== undefined);
  access.allowList.onRemoved((removed) => {
    for (const sdkKey of removed) store.remove(sdkKey);
  });
  const proxying = config.idLists.proxied
    ? startProxying(config, { clock, supervisor, emit, store, running })
    : undefined;
  const proxied = proxying?.lists;
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const carries = tracing.headers;
  const endpoint = new UpstreamEndpoint({
    baseUrl,
    proxied: upstreamProxied,
    relayVersion: VERSION,
    carries,
  });
  const writer = backup && running.use(startWriter(backup, { clock, emit, store }));
  const refresher = tracing.manifests(
    new ManifestRefresher({
      source: tracing.manifestSource(new StatsigIdLists(endpoint, clock)),
      store,
      emit,
      maxInFlight,
      clearOnUnauthorized: config.clearOnUnauthorized,
      writer,
      signal: stopping.signal,
    }),
  );
  const poller = running.use(new ManifestPoller({ store, refresher, clock, supervisor, specIntervalMs }));
  const isRemoving = (sdkKey: SdkKey) => writer?.isRemoving(sdkKey) === true;
  const recovery = backup && new ManifestRecovery({ backup: backup.manifests, store, emit, isRemoving });
  const query = new IdListQuery({ store, refresher, clock, recovery, proxied, maxDenials: maxKeys, gate });
  let retryMs = specIntervalMs;
  const preloading = {
    query,
    clock,
    supervisor,
    allows: store.allows.bind(store),
    retryEveryMs: () => retryMs,
  };
  const preloaded =
    proxied && running.use(new PreloadedLists({ ...preloading, proxied }, config.preloadSdkKeys));
  return {
    service: { query, proxied, publicUrl },
    notReady: () => preloaded?.notReady() ?? [],
    status: () => proxying && readingsOf(proxying, preloaded),
    reconfigure({ pollIntervalMs, preloadSdkKeys }) {
      retryMs = pollIntervalMs;
      poller.pollEvery(pollIntervalMs);
      preloaded?.follow(preloadSdkKeys);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function startWriter(
  { manifests, touchEveryMs, onReturn }: BackupParts,
  parts: Pick<ProxyParts, "clock" | "emit" | "store">,
): ManifestWriter {
  const writer = new ManifestWriter({ backup: manifests, rewriteEveryMs: touchEveryMs, ...parts });
  onReturn?.(() => writer.writeAgain());
  return writer;
}

interface ProxyParts extends Pick<IdListParts, "clock" | "supervisor"> {
  readonly emit: EmitIdListEvent;
  readonly store: ManifestStore;
  readonly running: AsyncDisposableStack;
}

interface Proxying {
  /** Undefined if the folder can't be used. */
  readonly lists: ProxiedLists | undefined;
  readonly folderUnusable: IdListReadings["folderUnusable"];
}

/** If the folder can't be used, that is reported once, and manifests are passed through. */
function startProxying(config: Config, parts: ProxyParts): Proxying {
  const { clock, supervisor, emit, store, running } = parts;
  try {
    using claiming = new DisposableStack();
    const folder = claiming.use(ListFolder.claim(config.local.path));
    const { maxBytes, maxDownloads } = config.idLists;
    const source = new IdListFiles(clock);
    const shelf = running.use(
      new ListFileStore({ folder, source, clock, supervisor, emit, maxBytes, maxDownloads }),
    );
    claiming.move();
    return { lists: new ProxiedLists(shelf, store), folderUnusable: undefined };
  } catch (error) {
    const reason = String(error);
    emit({ kind: "id_lists_folder_unusable", detail: reason });
    return { lists: undefined, folderUnusable: { reason, since: clock.now() } };
  }
}

function readingsOf({ lists, folderUnusable }: Proxying, preloaded?: PreloadedLists): IdListReadings {
  const files = lists?.status ?? { files: 0, bytes: 0, problems: [] };
  return { ...files, folderUnusable, unknown: preloaded?.unknown ?? [] };
}
