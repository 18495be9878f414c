import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import { type Feed, preloadFeeds } from "../specs/feed.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import { SpecStore } from "../specs/store.ts";
import { freeReplacedVersions } from "../specs/versions/replaced-versions.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { RunningAccess } from "./access.ts";

/** The settings of config specs that a reload may change. */
interface SpecPlan {
  readonly intervalMs: number;
  readonly maxStalenessMs: number | undefined;
  readonly preloaded: ReadonlySet<SdkKey>;
  readonly preload: readonly Feed[];
  /** The lcut that `--pin` names for each key. */
  readonly pins: Config["pins"];
}

export function readSpecPlan({
  pollIntervalMs,
  preloadSdkKeys,
  pins,
  monitoring: { maxStalenessMs },
}: Config): SpecPlan {
  const preloaded = new Set(preloadSdkKeys);
  const preload = preloadFeeds(preloadSdkKeys);
  return { intervalMs: pollIntervalMs, maxStalenessMs, preloaded, preload, pins };
}

interface SpecStoreParts {
  readonly access: RunningAccess;
  readonly telemetry: Pick<Telemetry, "specs">;
}

interface StoreRules {
  readonly isPreloaded: (sdkKey: SdkKey) => boolean;
  /** As in the options of SpecStore. */
  readonly admits?: (snapshot: Snapshot, held: Snapshot) => boolean;
}

interface OpenedStore {
  readonly store: SpecStore;
  /** Call this with the size of versions that are no longer kept. */
  readonly freed: (bytes: number) => void;
}

/** Opens the store of config specs, which holds no key that is not allowed. */
export function openStore(
  { maxKeys, preloadSdkKeys }: Config,
  { access, telemetry }: SpecStoreParts,
  { isPreloaded, admits }: StoreRules,
): OpenedStore {
  const { gate, admission, allowList } = access;
  const allows = (sdkKey: SdkKey) => gate.allows(sdkKey);
  const store = new SpecStore({ maxKeys, preloaded: preloadSdkKeys, allows, ...(admits && { admits }) });
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
