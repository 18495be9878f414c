import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Spacing } from "../platform/spacing.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { SpecAcquirer } from "../specs/acquire.ts";
import type { SpecBackup } from "../specs/backup.ts";
import { BackupKeepAlive } from "../specs/backup-keep-alive.ts";
import { type BackupLag, BackupWriter } from "../specs/backup-writer.ts";
import type { KnownVersions } from "../specs/deltas/compute.ts";
import { DeltaRequests } from "../specs/deltas/delta-requests.ts";
import { KnownVersionsFinder } from "../specs/deltas/known-versions.ts";
import { type Feed, preloadFeeds } from "../specs/feed.ts";
import { Fleet } from "../specs/fleet.ts";
import { type SpecPreparer, WorkerPreparer } from "../specs/payload/preparer.ts";
import type { PinDesk } from "../specs/pins/pin-desk.ts";
import type { VersionGate } from "../specs/pins/version-gate.ts";
import { SpecPoller } from "../specs/poller.ts";
import { SpecQuery } from "../specs/query.ts";
import { Readiness } from "../specs/readiness.ts";
import { SpecRecovery } from "../specs/recovery.ts";
import { type RefreshBackup, SpecRefresher } from "../specs/refresh.ts";
import { freeReplacedVersions } from "../specs/replaced-versions.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { SpecSource } from "../specs/source.ts";
import { SpecStore } from "../specs/store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Refresher, Tracing } from "../telemetry/tracing/tracing.ts";
import { BlobSpecs } from "../upstream/blob-specs.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { reportResponses, withReports } from "../upstream/response-events.ts";
import { StatsigSpecs } from "../upstream/specs.ts";
import { VERSION } from "../version.ts";
import type { RunningAccess } from "./access.ts";
import type { BackupParts } from "./backup.ts";
import { type OpenPins, openPins } from "./pins.ts";

export interface RunningSpecs extends AsyncDisposable {
  readonly query: SpecQuery;
  readonly store: SpecStore;
  /** Feeds that are polled whether or not they are held. */
  readonly preload: readonly Feed[];
  /** What operators do with versions and pins. */
  readonly pins: PinDesk;
  /** Returns the memory of versions that are kept and not served. */
  readonly keptVersionBytes: () => number;
  /** Returns how far the backup lags behind; undefined if there is no backup. */
  readonly backupLag: () => BackupLag | undefined;
  /** Returns the memory of deltas, and of what they are computed from. */
  readonly deltaBytes: () => number;
  /** Returns whether upstream is another relay, as far as its responses have shown. */
  readonly upstreamIsRelay: () => boolean;
  /** Returns the reasons why the relay is not ready; empty if it is. */
  readonly notReady: () => readonly string[];
  /** Applies another interval, other preloaded keys and another limit of staleness. */
  reconfigure(config: Config): void;
}

interface SpecsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "specs" | "backup">;
  readonly backup: BackupParts | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
  /** Minimum time between the starts of two polls. */
  readonly spacing: Spacing;
}

/** Enough to cache a failure for all feeds of each valid key while upstream is down. */
const NEGATIVE_ENTRIES_PER_KEY = 4;

/** Starts what brings config specs from upstream to memory and to the backup. */
export function startSpecs(config: Config, parts: SpecsParts): RunningSpecs {
  const { clock, supervisor, telemetry, access, tracing } = parts;
  const { maxKeys, clearOnUnauthorized } = config;
  const running = new AsyncDisposableStack();
  let live = readReloadable(config);
  const { store, freed } = openStore(config, parts, {
    isPreloaded: (sdkKey) => live.preloaded.has(sdkKey),
    admits: (snapshot, held) => pins.pins.admits(snapshot, held),
  });
  const pins = running.use(
    openPins(config, { ...parts, store, freed, emit: telemetry.specs.emit, live: () => live }),
  );
  const comparer = running.use(new WorkerPreparer(supervisor, config.maxPayloadBytes));
  const preparer = tracing.preparer(comparer);
  const known = new KnownVersionsFinder({ store, clock, bases: config.deltaHistory });
  const backup =
    parts.backup &&
    running.use(startBackup(config, parts.backup, { ...parts, store, preparer, known, pins }));
  const upstream = openUpstream(config, parts);
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const findKnown = (feed: Feed) => known.find(feed, backup?.readHistory);
  const writer = backup && tracing.writer(backup.writer);
  const pinning = pins.start({
    ...{ preparer, comparer, findKnown, recovery: backup?.recovery, writer },
    ask: (feed) => specAcquirer.ask(feed),
  });
  const refresher = createRefresher(config, parts, {
    ...{ store, preparer, findKnown, upstream, writer, gate: pinning.enforcer, signal: stopping.signal },
    intervalMs: () => live.intervalMs,
  });
  const specAcquirer = new SpecAcquirer({
    ...{ refresher, store, clock, clearOnUnauthorized, emit: telemetry.specs.emit },
    ...backup,
  });
  const acquirer = tracing.acquirer(specAcquirer);
  const readiness = new Readiness({ store, clock, ...live });
  const poller = running.use(
    new SpecPoller({ store, acquirer, clock, supervisor, keepsJson: config.jsonWithProtobuf, ...live }),
  );
  poller.start();
  return {
    store,
    get preload() {
      return live.preload;
    },
    pins: pinning.desk,
    keptVersionBytes: () => pins.kept.bytes,
    backupLag: () => backup?.writer.lag,
    deltaBytes: () => known.heldBytes,
    upstreamIsRelay: () => upstream.isRelay,
    query: new SpecQuery({
      store,
      acquirer,
      clock,
      maxNegativeEntries: NEGATIVE_ENTRIES_PER_KEY * maxKeys,
      gate: access.gate,
      recovery: backup?.recovery,
    }),
    notReady: () => readiness.reasons(),
    reconfigure(next) {
      const before = live.preload;
      live = readReloadable(next);
      store.preload(live.preloaded);
      pinning.enforcer.check();
      backup?.fleet?.pollEvery(live.intervalMs);
      poller.reconfigure(live);
      readiness.reconfigure(live);
      telemetry.specs.polls.preload(live.preload);
      for (const feed of before) if (store.peek(feed) === undefined) telemetry.specs.polls.forget(feed);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Returns the settings that a reload may change. */
function readReloadable({ pollIntervalMs, preloadSdkKeys, pins, monitoring: { maxStalenessMs } }: Config) {
  const preloaded = new Set(preloadSdkKeys);
  const preload = preloadFeeds(preloadSdkKeys);
  return { intervalMs: pollIntervalMs, maxStalenessMs, preloaded, preload, pins };
}

interface RefresherParts {
  readonly store: SpecStore;
  readonly preparer: SpecPreparer;
  readonly findKnown: (feed: Feed) => Promise<KnownVersions | undefined>;
  readonly upstream: StatsigSpecs;
  readonly writer: RefreshBackup | undefined;
  readonly gate: VersionGate;
  readonly intervalMs: () => number;
  readonly signal: AbortSignal;
}

function createRefresher(
  config: Config,
  parts: SpecsParts,
  { upstream, writer, ...rest }: RefresherParts,
): Refresher {
  const { clock, tracing, telemetry } = parts;
  const { maxKeys, clearOnUnauthorized } = config;
  return tracing.refresher(
    new SpecRefresher({
      ...rest,
      source: tracing.source(openSource(config, parts, upstream)),
      deltas: config.requestsDeltas ? new DeltaRequests(clock) : undefined,
      clock,
      policy: { clearOnUnauthorized },
      maxInFlight: config.maxRequestsInFlight,
      spacing: parts.spacing,
      maxKeys,
      emit: telemetry.specs.emit,
      backup: writer,
    }),
  );
}

interface StoreRules {
  readonly isPreloaded: (sdkKey: SdkKey) => boolean;
  readonly admits: (snapshot: Snapshot, held: Snapshot) => boolean;
}

function openStore(
  { maxKeys, preloadSdkKeys }: Config,
  { access, telemetry }: SpecsParts,
  { isPreloaded, admits }: StoreRules,
): { readonly store: SpecStore; readonly freed: (bytes: number) => void } {
  const { gate, admission, allowList } = access;
  const allows = (sdkKey: SdkKey) => gate.allows(sdkKey);
  const store = new SpecStore({ maxKeys, preloaded: preloadSdkKeys, allows, admits });
  const freed = freeReplacedVersions(store);
  store.listen({
    removed: ({ feed, ended }) => {
      if (ended === "evicted") telemetry.specs.emit({ kind: "spec_evicted", feed });
    },
  });
  admission.knownBy((sdkKey) => store.holds(sdkKey) || isPreloaded(sdkKey));
  allowList.onRemoved((removed) => {
    for (const sdkKey of removed) store.removeKey(sdkKey, "unauthorized");
  });
  return { store, freed };
}

function openUpstream(
  { upstreamUrl: baseUrl, upstreamProxied: proxied, upstream, maxPayloadBytes }: Config,
  { clock, tracing }: SpecsParts,
): StatsigSpecs {
  const endpoint = new UpstreamEndpoint({ baseUrl, proxied, ...toEndpointOptions(upstream, tracing) });
  return new StatsigSpecs(endpoint, clock, maxPayloadBytes);
}

function toEndpointOptions(
  { timeouts: limits, reusesConnections }: Config["upstream"],
  { headers: carries }: Tracing,
) {
  return { relayVersion: VERSION, limits, reusesConnections, carries };
}

/** Returns `upstream`, or the blob storage that is asked before it. */
function openSource(
  { blobStorage: storage, upstream, maxPayloadBytes: maxBytes }: Config,
  { clock, tracing, telemetry }: SpecsParts,
  statsig: StatsigSpecs,
): SpecSource {
  const { emit } = telemetry.specs;
  if (storage === undefined) return withReports(statsig, reportResponses("cdn", emit));
  const fallback = withReports(statsig, reportResponses("cdn_fallback", emit));
  const report = reportResponses("blob", emit);
  const endpoint = new UpstreamEndpoint({ ...storage, ...toEndpointOptions(upstream, tracing) });
  return new BlobSpecs({ endpoint, storage, fallback, report, clock, maxBytes });
}

interface BackupUsers extends SpecsParts {
  readonly store: SpecStore;
  readonly preparer: SpecPreparer;
  readonly known: KnownVersionsFinder;
  readonly pins: OpenPins;
}

interface RunningBackup extends AsyncDisposable {
  readonly recovery: SpecRecovery;
  readonly writer: BackupWriter;
  readonly readHistory: SpecBackup["readHistory"];
  readonly fleet?: Fleet;
}

function startBackup(
  { pollIntervalMs: intervalMs, clearOnUnauthorized }: Config,
  { backup: untraced, fleetChannel: channel, touchEveryMs: everyMs, onReturn, onConfirmed }: BackupParts,
  { store, preparer, known, pins, clock, supervisor, telemetry, tracing }: BackupUsers,
): RunningBackup {
  const running = new AsyncDisposableStack();
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const { signal } = stopping;
  const { emit } = telemetry.specs;
  const { emit: emitBackup } = telemetry.backup;
  const backup = tracing.backup(untraced);
  const recovery = new SpecRecovery({
    ...{ backup, preparer, known, store, clock, emit, emitBackup },
    originalOf: pins.originalOf,
  });
  const parts = { store, recovery, clock, supervisor };
  const fleet = channel && new Fleet({ channel, intervalMs, clearOnUnauthorized, signal, emit, ...parts });
  const writer = running.use(
    new BackupWriter({ backup, fleet, emit: emitBackup, mayStore: pins.mayStore, ...parts }),
  );
  const keepAlive = running.use(new BackupKeepAlive({ backup, writer, everyMs, emit: emitBackup, ...parts }));
  onReturn?.(() => keepAlive.checkNow());
  // Versions and confirmations also come from upstream by way of another relay of the fleet.
  const confirmed = () => onConfirmed?.();
  store.listen({ published: confirmed, confirmed });
  return {
    recovery,
    writer,
    readHistory: (feed) => backup.readHistory(feed),
    ...(fleet && { fleet }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
