import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { KnownVersions } from "../specs/deltas/compute.ts";
import type { VersionId } from "../specs/deltas/delta.ts";
import type { EmitSpecEvent } from "../specs/events.ts";
import type { Feed } from "../specs/feed.ts";
import type { SpecPreparer, VersionComparer } from "../specs/payload/preparer.ts";
import { PinDesk } from "../specs/pins/pin-desk.ts";
import { PinEnforcer } from "../specs/pins/pin-enforcer.ts";
import { PinRecords } from "../specs/pins/pin-records.ts";
import { Pins } from "../specs/pins/pins.ts";
import { Republisher } from "../specs/pins/republish.ts";
import type { SpecRecovery } from "../specs/recovery.ts";
import type { RefreshBackup } from "../specs/refresh.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { SpecStore } from "../specs/store.ts";
import { KeptVersions } from "../specs/versions/kept-versions.ts";
import type { BackupParts } from "./backup.ts";

interface PinParts {
  readonly store: SpecStore;
  readonly backup: Pick<BackupParts, "pins" | "onReturn"> | undefined;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitSpecEvent;
  /** Returns the current polling interval, and the lcut that `--pin` names for each key. */
  readonly live: () => { readonly intervalMs: number; readonly pins: ReadonlyMap<SdkKey, number> };
  /** Called with the size of versions that are no longer kept. */
  readonly freed: (bytes: number) => void;
}

/** What the parts that bring versions need to keep pinned keys at theirs. */
export interface OpenPins extends AsyncDisposable {
  readonly records: PinRecords;
  readonly pins: Pins;
  readonly kept: KeptVersions;
  /** Returns what upstream calls a version that was read from the backup, if a relay has published it under another lcut. */
  readonly originalOf: (feed: Feed, version: VersionId) => Promise<VersionId | undefined>;
  /** Returns whether the backup may store a version from upstream. */
  readonly mayStore: (snapshot: Snapshot) => Promise<boolean>;
  /** Starts to bring pinned keys to their version. */
  readonly start: (parts: EnforcerParts) => RunningPins;
}

interface EnforcerParts {
  readonly preparer: SpecPreparer;
  readonly comparer: VersionComparer;
  /** As in the options of SpecRefresher. */
  readonly findKnown: (feed: Feed) => Promise<KnownVersions | undefined>;
  readonly recovery: SpecRecovery | undefined;
  readonly writer: RefreshBackup | undefined;
  /** As in the options of PinDesk. */
  readonly ask: (feed: Feed) => Promise<unknown>;
}

interface RunningPins {
  readonly enforcer: PinEnforcer;
  readonly desk: PinDesk;
}

/** Opens the history of versions and the records of pins. Nothing is pinned before `start`. */
export function openPins({ versionHistory }: Pick<Config, "versionHistory">, parts: PinParts): OpenPins {
  const { store, backup, clock, supervisor, emit, live, freed } = parts;
  const intervalMs = () => live().intervalMs;
  const configured = () => live().pins;
  const kept = new KeptVersions({ store, freed, ...versionHistory });
  const records = new PinRecords({ storage: backup?.pins, clock, supervisor, intervalMs, emit });
  backup?.onReturn?.(() => records.readNow());
  let running: RunningPins | undefined;
  const onOverwritten = (snapshot: Snapshot) => running?.enforcer.overwritten(snapshot);
  const pins = new Pins({ records, kept, configured, onOverwritten });
  return {
    ...{ records, pins, kept },
    originalOf: async (feed, version) => {
      await records.readAgain();
      return pins.originalOf(feed, version);
    },
    mayStore: async (snapshot) => (await running?.enforcer.mayStore(snapshot)) ?? true,
    start: ({ preparer, comparer, findKnown, recovery, writer, ask }) => {
      const republisher = new Republisher({ preparer, findKnown, store, backup: writer, clock, emit });
      const shared = { pins, records, kept, store, clock };
      const enforcer = new PinEnforcer({ ...shared, republisher, recovery, supervisor });
      running = { enforcer, desk: new PinDesk({ ...shared, enforcer, comparer, ask, configured }) };
      return running;
    },
    [Symbol.asyncDispose]: () => records[Symbol.asyncDispose](),
  };
}
