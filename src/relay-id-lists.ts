import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { IdListService } from "./http/id-list-manifest.ts";
import type { EmitIdListEvent } from "./id-lists/events.ts";
import { IdListQuery } from "./id-lists/id-list-query.ts";
import { ListFolder } from "./id-lists/list-folder.ts";
import { ListShelf } from "./id-lists/list-shelf.ts";
import { ManifestPoller } from "./id-lists/manifest-poller.ts";
import { ManifestRecovery } from "./id-lists/manifest-recovery.ts";
import { ManifestRefresher } from "./id-lists/manifest-refresh.ts";
import { ManifestStore } from "./id-lists/manifest-store.ts";
import { ManifestWriter } from "./id-lists/manifest-writer.ts";
import { ProxiedLists } from "./id-lists/proxied-lists.ts";
import type { RunningAccess } from "./relay-access.ts";
import type { BackupParts } from "./relay-backup.ts";
import type { Supervisor } from "./supervision/supervisor.ts";
import type { Tracing } from "./telemetry/tracing/tracing.ts";
import { UpstreamEndpoint } from "./upstream/endpoint.ts";
import { IdListFiles } from "./upstream/id-list-files.ts";
import { StatsigIdLists } from "./upstream/statsig-id-lists.ts";
import { VERSION } from "./version.ts";

export interface IdListParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitIdListEvent;
  readonly backup: BackupParts | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
}

export interface RunningIdLists extends AsyncDisposable {
  readonly service: IdListService;
  /** Takes over another interval. */
  reconfigure(config: Config): void;
}

/** The flow of ID lists from upstream to clients. */
export function startIdLists(config: Config, parts: IdListParts): RunningIdLists {
  const { clock, supervisor, emit, backup, access, tracing } = parts;
  const running = new AsyncDisposableStack();
  const { maxKeys, maxRequestsInFlight: maxInFlight, pollIntervalMs: specIntervalMs } = config;
  const { upstreamUrl: baseUrl, upstreamProxied, publicUrl } = config.idLists;
  const { gate } = access;
  const store = new ManifestStore({ maxKeys, allows: (sdkKey) => gate.allows(sdkKey) });
  access.admission.knownBy((sdkKey) => store.peek(sdkKey) !== undefined);
  access.allowList.onRemoved((removed) => {
    for (const sdkKey of removed) store.remove(sdkKey);
  });
  const proxied = config.idLists.proxied ? startProxying(config, { ...parts, store, running }) : undefined;
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const carries = tracing.headers;
  const endpoint = new UpstreamEndpoint({
    baseUrl,
    proxied: upstreamProxied,
    relayVersion: VERSION,
    carries,
  });
  const refresher = tracing.manifests(
    new ManifestRefresher({
      source: tracing.manifestSource(new StatsigIdLists(endpoint, clock)),
      store,
      emit,
      maxInFlight,
      clearOnUnauthorized: config.clearOnUnauthorized,
      writer: backup && startWriter(backup, { clock, emit, store }),
      signal: stopping.signal,
    }),
  );
  const poller = running.use(new ManifestPoller({ store, refresher, clock, supervisor, specIntervalMs }));
  const recovery = backup && new ManifestRecovery({ backup: backup.manifests, store, emit });
  const query = new IdListQuery({ store, refresher, clock, recovery, proxied, maxDenials: maxKeys, gate });
  return {
    service: { query, proxied, publicUrl },
    reconfigure: ({ pollIntervalMs }) => poller.pollEvery(pollIntervalMs),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function startWriter(
  { manifests, touchEveryMs }: BackupParts,
  parts: Pick<ProxyParts, "clock" | "emit" | "store">,
): ManifestWriter {
  return new ManifestWriter({ backup: manifests, rewriteEveryMs: touchEveryMs, ...parts });
}

interface ProxyParts extends Pick<IdListParts, "clock" | "supervisor" | "emit"> {
  readonly store: ManifestStore;
  readonly running: AsyncDisposableStack;
}

/** Undefined, after one report, where the folder can't be used. */
function startProxying(config: Config, parts: ProxyParts): ProxiedLists | undefined {
  const { clock, supervisor, emit, store, running } = parts;
  try {
    const folder = ListFolder.claim(config.local.path);
    const { maxBytes } = config.idLists;
    const shelf = running.use(
      new ListShelf({ folder, source: new IdListFiles(clock), clock, supervisor, emit, maxBytes }),
    );
    return new ProxiedLists(shelf, store);
  } catch (error) {
    emit({ kind: "id_lists_folder_unusable", detail: String(error) });
    return undefined;
  }
}
