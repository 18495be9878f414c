import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { SpecAcquirer } from "../specs/acquire.ts";
import { BackupKeepAlive } from "../specs/backup-keep-alive.ts";
import { type BackupLag, BackupWriter } from "../specs/backup-writer.ts";
import { type Feed, preloadFeeds } from "../specs/feed.ts";
import { Fleet } from "../specs/fleet.ts";
import { type SpecPreparer, WorkerPreparer } from "../specs/payload/preparer.ts";
import { SpecPoller } from "../specs/poller.ts";
import { SpecQuery } from "../specs/query.ts";
import { Readiness } from "../specs/readiness.ts";
import { SpecRecovery } from "../specs/recovery.ts";
import { SpecRefresher } from "../specs/refresh.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import { SpecStore } from "../specs/store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Tracing } from "../telemetry/tracing/tracing.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { StatsigSpecs } from "../upstream/specs.ts";
import { VERSION } from "../version.ts";
import type { RunningAccess } from "./access.ts";
import type { BackupParts } from "./backup.ts";

export interface RunningSpecs extends AsyncDisposable {
  readonly query: SpecQuery;
  readonly store: SpecStore;
  /** Polled held or not. */
  readonly preload: readonly Feed[];
  /** How far the backup is behind; undefined where there is none, or another relay writes it. */
  readonly backupLag: () => BackupLag | undefined;
  /** Whether upstream is another relay, as far as it has answered. */
  readonly upstreamIsRelay: () => boolean;
  /** Why clients should go elsewhere; none where they need not. */
  readonly notReady: () => readonly string[];
  /** Takes over another interval, other preloaded keys, another bound of staleness. */
  reconfigure(config: Config): void;
}

interface SpecsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "specs" | "backup">;
  readonly backup: BackupParts | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
}

/** Valid keys may be asked for in all their feeds before upstream is up. */
const DENIALS_PER_KEY = 4;

/** The flow from upstream to memory and backup: polls, checks, keeps. */
export function startSpecs(config: Config, parts: SpecsParts): RunningSpecs {
  const { clock, supervisor, telemetry, access, tracing } = parts;
  const running = new AsyncDisposableStack();
  const { maxKeys } = config;
  let live = liveOf(config);
  const store = startStore(config, access, (sdkKey) => live.preloaded.has(sdkKey));
  store.listen({
    published: ({ snapshot }) => freeReplaced(snapshot),
    removed: ({ feed, ended }) => {
      if (ended === "evicted") telemetry.specs.emit({ kind: "spec_evicted", feed });
    },
  });
  const preparer = tracing.preparer(running.use(new WorkerPreparer(supervisor, config.maxPayloadBytes)));
  const backup = parts.backup && startBackup(config, { ...parts, backup: parts.backup, store, preparer });
  if (backup !== undefined) running.use(backup);
  const upstream = openUpstream(config, parts);
  const flow = { upstream, store, preparer, running, backup, intervalMs: () => live.intervalMs };
  const refresher = tracing.refresher(startRefresher(config, parts, flow));
  const { clearOnUnauthorized } = config;
  const acquirer = tracing.acquirer(
    new SpecAcquirer({ refresher, store, clock, clearOnUnauthorized, ...backup }),
  );
  const readiness = new Readiness({ store, clock, ...live });
  const poller = running.use(new SpecPoller({ store, acquirer, clock, supervisor, ...live }));
  poller.start();
  return {
    store,
    get preload() {
      return live.preload;
    },
    backupLag: () => backup?.writer.lag,
    upstreamIsRelay: () => upstream.isRelay,
    query: new SpecQuery({
      store,
      acquirer,
      clock,
      maxDenials: DENIALS_PER_KEY * maxKeys,
      gate: access.gate,
      recovery: backup?.recovery,
    }),
    notReady: () => readiness.reasons(),
    reconfigure(next) {
      live = liveOf(next);
      store.pin(live.preloaded);
      backup?.fleet?.pollEvery(live.intervalMs);
      poller.follow(live);
      readiness.follow(live);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** What may change while the relay goes on. */
function liveOf({ pollIntervalMs: intervalMs, preloadSdkKeys, monitoring: { maxStalenessMs } }: Config) {
  const preloaded = new Set(preloadSdkKeys);
  return { intervalMs, maxStalenessMs, preloaded, preload: preloadFeeds(preloadSdkKeys) };
}

function startStore(
  { maxKeys, preloadSdkKeys }: Config,
  access: RunningAccess,
  isPreloaded: (sdkKey: SdkKey) => boolean,
): SpecStore {
  const { gate, admission, allowList } = access;
  const allows = (sdkKey: SdkKey) => gate.allows(sdkKey);
  const store = new SpecStore({ maxKeys, pinned: preloadSdkKeys, allows });
  admission.knownBy((sdkKey) => store.holds(sdkKey) || isPreloaded(sdkKey));
  allowList.onRemoved((removed) => {
    for (const sdkKey of removed) store.removeKey(sdkKey, "unauthorized");
  });
  return store;
}

function openUpstream(
  { upstreamUrl: baseUrl, upstreamProxied: proxied, maxPayloadBytes }: Config,
  { clock, tracing }: SpecsParts,
): StatsigSpecs {
  const carries = tracing.headers;
  const endpoint = new UpstreamEndpoint({ baseUrl, proxied, relayVersion: VERSION, carries });
  return new StatsigSpecs(endpoint, clock, maxPayloadBytes);
}

interface RefresherParts {
  readonly upstream: StatsigSpecs;
  readonly store: SpecStore;
  readonly preparer: SpecPreparer;
  readonly running: AsyncDisposableStack;
  readonly backup: RunningBackup | undefined;
  readonly intervalMs: () => number;
}

function startRefresher(
  config: Config,
  { clock, telemetry, tracing }: SpecsParts,
  { upstream, store, preparer, running, backup, intervalMs }: RefresherParts,
): SpecRefresher {
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  return new SpecRefresher({
    source: tracing.source(upstream),
    preparer,
    store,
    clock,
    policy: { clearOnUnauthorized: config.clearOnUnauthorized },
    maxInFlight: config.maxRequestsInFlight,
    maxKeys: config.maxKeys,
    intervalMs,
    emit: telemetry.specs.emit,
    keepFirst: tracing.keepFirst(async (snapshot) => backup?.writer.writeAhead(snapshot)),
    onForget: (feed, forgotten) => {
      if (config.clearOnUnauthorized) backup?.writer.remove(feed, forgotten);
    },
    signal: stopping.signal,
  });
}

interface BackupStart extends SpecsParts {
  readonly backup: BackupParts;
  readonly store: SpecStore;
  readonly preparer: SpecPreparer;
}

interface RunningBackup extends AsyncDisposable {
  readonly recovery: SpecRecovery;
  readonly fleet?: Fleet;
  readonly writer: BackupWriter;
}

function startBackup(
  config: Config,
  { backup: parts, store, preparer, clock, supervisor, telemetry, tracing }: BackupStart,
): RunningBackup {
  const { board, touchEveryMs: everyMs } = parts;
  const { emit } = telemetry.specs;
  const { emit: emitBackup } = telemetry.backup;
  const backup = tracing.backup(parts.backup);
  const running = new AsyncDisposableStack();
  const recovery = new SpecRecovery({ backup, preparer, store, clock, emit, emitBackup });
  const stopping = new AbortController();
  running.defer(() => stopping.abort(new Error("the relay is shutting down")));
  const { pollIntervalMs: intervalMs, clearOnUnauthorized } = config;
  const { signal } = stopping;
  const parties = { store, recovery, clock, supervisor, emit, signal };
  const fleet = board && new Fleet({ board, intervalMs, clearOnUnauthorized, ...parties });
  const writer = running.use(
    new BackupWriter({
      backup,
      recovery,
      store,
      clock,
      supervisor,
      emit: emitBackup,
      onKept: (snapshot, kept) => fleet?.kept(snapshot, kept),
      onNotKept: (snapshot) => fleet?.mayConfirm(snapshot),
    }),
  );
  const keeper = running.use(
    new BackupKeepAlive({ backup, writer, store, clock, supervisor, emit: emitBackup, everyMs }),
  );
  parts.onReturn?.(() => keeper.checkNow());
  // Whichever relay of a fleet it was that upstream answered.
  const answered = () => parts.onAnswer?.();
  store.listen({ published: answered, confirmed: answered });
  return {
    recovery,
    ...(fleet && { fleet }),
    writer,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** A smaller version that was replaced is freed in time by itself. */
const LARGE_BYTES = 1024 * 1024;

/** When requests that were answered with the version before have ended. */
const FREE_AFTER_MS = 250;

let isFreeing = false;

/**
 * Has the version freed that a large one replaced. By itself it would be much later: the collector sees a small heap, and
 * not the buffers that belong to it.
 */
function freeReplaced({ bytes }: Snapshot): void {
  if (bytes.length < LARGE_BYTES || isFreeing) return;
  isFreeing = true;
  const free = () => {
    isFreeing = false;
    Bun.gc(true);
  };
  setTimeout(free, FREE_AFTER_MS).unref();
}
