import type { SdkKey } from "../access/sdk-key.ts";
import type { BootstrapFiles } from "../bootstrap/files.ts";
import { OfflineAcquirer } from "../bootstrap/offline.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { KnownVersionsFinder } from "../specs/deltas/known-versions.ts";
import { WorkerPreparer } from "../specs/payload/preparer.ts";
import { NEGATIVE_ENTRIES_PER_KEY, SpecQuery } from "../specs/query.ts";
import { Readiness } from "../specs/readiness.ts";
import { SpecRecovery } from "../specs/recovery.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Tracing } from "../telemetry/tracing/tracing.ts";
import type { RunningAccess } from "./access.ts";
import type { BackupParts } from "./backup.ts";
import { recoverFromFiles } from "./bootstrap.ts";
import { openStore, readSpecPlan } from "./spec-store.ts";
import type { RunningSpecs } from "./specs.ts";

interface OfflineParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "specs" | "backup" | "bootstrap">;
  readonly backup: BackupParts | undefined;
  readonly access: RunningAccess;
  readonly tracing: Tracing;
  readonly bootstrap: BootstrapFiles;
}

/** Starts what brings config specs from files to memory. Nothing is requested from upstream, and nothing is written to the backup. */
export function startOfflineSpecs(config: Config, parts: OfflineParts): RunningSpecs {
  const { clock, supervisor, telemetry, access, tracing, bootstrap: files } = parts;
  const running = new AsyncDisposableStack();
  let plan = readSpecPlan(config);
  const isPreloaded = (sdkKey: SdkKey) => plan.preloaded.has(sdkKey);
  const { store } = openStore(config, parts, { isPreloaded });
  const preparer = tracing.preparer(running.use(new WorkerPreparer(supervisor, config.maxPayloadBytes)));
  const known = new KnownVersionsFinder({ store, clock, bases: config.deltaHistory });
  const findKnown = (feed: Parameters<typeof known.find>[0]) => known.find(feed, undefined);
  const wanted = () => [...new Set([...[...store.held()].map(({ feed }) => feed), ...plan.polling.preload])];
  const fromFiles = recoverFromFiles(config, {
    ...{ files, store, preparer, findKnown, telemetry, clock, supervisor, wanted },
  });
  const { emit } = telemetry.specs;
  const { emit: emitBackup } = telemetry.backup;
  const backup = parts.backup && tracing.backup(parts.backup.backup);
  const recovery = backup && new SpecRecovery({ backup, preparer, known, store, clock, emit, emitBackup });
  const acquirer = new OfflineAcquirer({ files: fromFiles, recovery, store, emit: telemetry.bootstrap.emit });
  const preload = () =>
    void supervisor.task("bootstrap_update", async () => {
      await acquirer.preload(plan.preload);
      // Without a file for what the relay itself needs, no client misses anything.
      for (const feed of plan.polling.preload)
        if (store.peek(feed) === undefined) await acquirer.acquire(feed, "poll");
    });
  const readiness = new Readiness({ store, clock, ...plan });
  preload();
  return {
    store,
    get preload() {
      return plan.preload;
    },
    pins: undefined,
    keptVersionBytes: () => 0,
    backupLag: () => undefined,
    deltaBytes: () => known.heldBytes,
    polled: wanted,
    pollAfresh: async (feed) => {
      await files.readNow();
      return acquirer.acquire(feed, "poll");
    },
    query: new SpecQuery({
      ...{ store, acquirer, clock, gate: access.gate },
      maxNegativeEntries: NEGATIVE_ENTRIES_PER_KEY * config.maxKeys,
    }),
    notReady: () => readiness.reasons(),
    reconfigure(next) {
      plan = readSpecPlan(next);
      store.preload(plan.preloaded);
      readiness.reconfigure(plan);
      telemetry.specs.polls.preload(plan.preload);
      files.checkNow();
      preload();
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
