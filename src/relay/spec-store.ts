import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import { toGateFeed } from "../profiling/gate/payload.ts";
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
  /** SDK keys that are never evicted: those of feeds that are polled whether or not they are held. */
  readonly preloaded: ReadonlySet<SdkKey>;
  readonly preload: readonly Feed[];
  /** Polls the feeds of `preload`, and what the relay itself needs, whether or not they are held. */
  readonly polling: { readonly intervalMs: number; readonly preload: readonly Feed[] };
  /** The lcut that `--pin` names for each key. */
  readonly pins: Config["pins"];
}

export function readSpecPlan({
  pollIntervalMs: intervalMs,
  preloadSdkKeys,
  pins,
  monitoring: { maxStalenessMs },
  profiling: { gate },
}: Config): SpecPlan {
  const preload = preloadFeeds(preloadSdkKeys);
  const own = gate === undefined || preloadSdkKeys.includes(gate.sdkKey) ? [] : [toGateFeed(gate.sdkKey)];
  const polling = { intervalMs, preload: [...preload, ...own] };
  const preloaded = new Set(polling.preload.map(({ sdkKey }) => sdkKey));
  return { intervalMs, maxStalenessMs, preloaded, preload, polling, pins };
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

/** Opens the store of config specs, which holds no key that is not allowed, except that of the gate of profiling. */
export function openStore(
  config: Config,
  { access, telemetry }: SpecStoreParts,
  { isPreloaded, admits }: StoreRules,
): OpenedStore {
  const { gate, admission, allowList } = access;
  const own = config.profiling.gate?.sdkKey;
  const store = new SpecStore({
    // That key takes no place of a client's.
    maxKeys: config.maxKeys + (own === undefined ? 0 : 1),
    preloaded: readSpecPlan(config).preloaded,
    allows: (sdkKey) => gate.allows(sdkKey) || sdkKey === own,
    ...(admits && { admits }),
  });
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
