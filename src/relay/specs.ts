import type { BootstrapFiles } from "../bootstrap/files.ts";
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
import type { ResponseOrigin } from "../specs/events.ts";
import type { Feed } from "../specs/feed.ts";
import { Fleet } from "../specs/fleet.ts";
import { type SpecPreparer, WorkerPreparer } from "../specs/payload/preparer.ts";
import type { PinDesk } from "../specs/pins/pin-desk.ts";
import type { VersionGate } from "../specs/pins/version-gate.ts";
import { SpecPoller } from "../specs/poller.ts";
import { NEGATIVE_ENTRIES_PER_KEY, SpecQuery } from "../specs/query.ts";
import { Readiness } from "../specs/readiness.ts";
import { SpecRecovery } from "../specs/recovery.ts";
import { type RefreshBackup, SpecRefresher } from "../specs/refresh.ts";
import type { SpecSource } from "../specs/source.ts";
import type { SpecStore } from "../specs/store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Refresher, Tracing } from "../telemetry/tracing/tracing.ts";
import { BlobSpecs } from "../upstream/blob-specs.ts";
import { FailoverSpecs } from "../upstream/failover-specs.ts";
import { reportResponses, withReports } from "../upstream/response-events.ts";
import { StatsigSpecs } from "../upstream/specs.ts";
import type { RunningAccess } from "./access.ts";
import type { BackupParts } from "./backup.ts";
import { listFromFiles, recoverFromFiles } from "./bootstrap.ts";
import { type OpenPins, openPins } from "./pins.ts";
import { openStore, readSpecPlan } from "./spec-store.ts";
import type { RunningUpstream } from "./upstream.ts";

export interface RunningSpecs extends AsyncDisposable {
  readonly query: SpecQuery;
  readonly store: SpecStore;
  /** Feeds that are polled whether or not they are held. */
  readonly preload: readonly Feed[];
  /** Returns the feeds that are polled. */
  readonly polled: () => Iterable<Feed>;
  readonly pollAfresh: SpecAcquirer["pollAfresh"];
  /** What operators do with versions and pins. Undefined offline, where the files say what is served. */
  readonly pins: PinDesk | undefined;
  /** Returns the memory of versions that are kept and not served. */
  readonly keptVersionBytes: () => number;
  /** Returns how far the backup lags behind; undefined if there is no backup. */
  readonly backupLag: () => BackupLag | undefined;
  /** Returns the memory of deltas, and of what they are computed from. */
  readonly deltaBytes: () => number;
  /** Returns the reasons why the relay is not ready; empty if it is. */
  readonly notReady: () => readonly string[];
  /** Applies another interval, other preloaded keys and another limit of staleness. */
  reconfigure(config: Config): void;
}

interface SpecsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "specs" | "backup" | "bootstrap">;
  readonly backup: BackupParts | undefined;
  /** The last resort if neither upstream nor the backup has a feed. */
  readonly bootstrap: BootstrapFiles | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
  readonly upstream: RunningUpstream;
  /** Minimum time between the starts of two polls. */
  readonly spacing: Spacing;
}

/** Starts what brings config specs from upstream to memory and to the backup. */
export function startSpecs(config: Config, parts: SpecsParts): RunningSpecs {
  const { clock, supervisor, telemetry, access, tracing } = parts;
  const { maxKeys, clearOnUnauthorized } = config;
  const running = new AsyncDisposableStack();
  let live = readSpecPlan(config);
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
  const findKnown = (feed: Feed) => known.find(feed, backup?.readHistory);
  const wanted = () => listFromFiles(store);
  const files =
    parts.bootstrap &&
    recoverFromFiles(config, { ...parts, files: parts.bootstrap, store, preparer, findKnown, wanted });
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const writer = backup && tracing.writer(backup.writer);
  const pinning = pins.start({
    ...{ preparer, comparer, findKnown, recovery: backup?.recovery, writer },
    ask: (feed) => specAcquirer.pollAfresh(feed),
  });
  const refresher = createRefresher(config, parts, {
    ...{ store, preparer, findKnown, writer, gate: pinning.enforcer, signal: stopping.signal },
    intervalMs: () => live.intervalMs,
  });
  const specAcquirer = new SpecAcquirer({
    ...{ refresher, store, files, clock, clearOnUnauthorized, emit: telemetry.specs.emit },
    ...backup,
  });
  const acquirer = tracing.acquirer(specAcquirer);
  const readiness = new Readiness({ store, clock, ...live });
  const polls = { store, acquirer, clock, supervisor, keepsJson: config.jsonWithProtobuf };
  const poller = running.use(new SpecPoller({ ...polls, ...live.polling }));
  poller.start();
  return {
    store,
    get preload() {
      return live.preload;
    },
    polled: () => poller.polled(),
    pollAfresh: (feed) => specAcquirer.pollAfresh(feed),
    pins: pinning.desk,
    keptVersionBytes: () => pins.kept.bytes,
    backupLag: () => backup?.writer.lag,
    deltaBytes: () => known.heldBytes,
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
      live = readSpecPlan(next);
      parts.bootstrap?.checkNow();
      store.preload(live.preloaded);
      pinning.enforcer.check();
      backup?.fleet?.pollEvery(live.intervalMs);
      poller.reconfigure(live.polling);
      readiness.reconfigure(live);
      telemetry.specs.polls.preload(live.preload);
      for (const feed of before) if (store.peek(feed) === undefined) telemetry.specs.polls.forget(feed);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface RefresherParts {
  readonly store: SpecStore;
  readonly preparer: SpecPreparer;
  readonly findKnown: (feed: Feed) => Promise<KnownVersions | undefined>;
  readonly writer: RefreshBackup | undefined;
  readonly gate: VersionGate;
  readonly intervalMs: () => number;
  readonly signal: AbortSignal;
}

function createRefresher(config: Config, parts: SpecsParts, { writer, ...rest }: RefresherParts): Refresher {
  const { clock, tracing, telemetry } = parts;
  const { maxKeys, clearOnUnauthorized } = config;
  return tracing.refresher(
    new SpecRefresher({
      ...rest,
      source: tracing.source(openSource(config, parts)),
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

/** Returns a source that asks the endpoints of upstream, or the blob storage before them. */
function openSource(
  { blobStorage: storage, maxPayloadBytes: maxBytes }: Config,
  { clock, telemetry, upstream }: SpecsParts,
): SpecSource {
  const { emit } = telemetry.specs;
  const openEndpoints = (from: ResponseOrigin) =>
    new FailoverSpecs({
      ...{ endpoints: upstream.endpoints, staleAfterMs: upstream.relayStaleAfterMs, clock },
      openSource: (member) => {
        const source = new StatsigSpecs(member.endpoint, clock, maxBytes, member.health);
        return withReports(source, reportResponses(from, emit));
      },
    });
  if (storage === undefined) return openEndpoints("cdn");
  const fallback = openEndpoints("cdn_fallback");
  const report = reportResponses("blob", emit);
  const endpoint = upstream.open(storage);
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
  pins.records.onLoss(() => keepAlive.checkNow());
  // Versions and confirmations also come from upstream by way of another relay of the fleet.
  const confirmed = () => onConfirmed?.();
  store.listen({
    published: ({ snapshot: { source } }) => {
      if (source !== "bootstrap") confirmed();
    },
    confirmed,
  });
  return {
    recovery,
    writer,
    readHistory: (feed) => backup.readHistory(feed),
    ...(fleet && { fleet }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
