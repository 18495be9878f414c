import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import { type Feed, preloadFeeds } from "../specs/feed.ts";
import { freeReplacedVersions } from "../specs/replaced-versions.ts";
import { SpecStore } from "../specs/store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { RunningAccess } from "./access.ts";

/** The settings of config specs that a reload may change. */
interface SpecPlan {
  readonly intervalMs: number;
  readonly maxStalenessMs: number | undefined;
  readonly preloaded: ReadonlySet<SdkKey>;
  readonly preload: readonly Feed[];
}

export function readSpecPlan({
  pollIntervalMs,
  preloadSdkKeys,
  monitoring: { maxStalenessMs },
}: Config): SpecPlan {
  const preloaded = new Set(preloadSdkKeys);
  return { intervalMs: pollIntervalMs, maxStalenessMs, preloaded, preload: preloadFeeds(preloadSdkKeys) };
}

interface SpecStoreParts {
  readonly access: RunningAccess;
  readonly telemetry: Pick<Telemetry, "specs">;
}

/** Opens the store of config specs, which holds no key that is not allowed. */
export function openStore(
  { maxKeys, preloadSdkKeys }: Config,
  { access, telemetry }: SpecStoreParts,
  isPreloaded: (sdkKey: SdkKey) => boolean,
): SpecStore {
  const { gate, admission, allowList } = access;
  const allows = (sdkKey: SdkKey) => gate.allows(sdkKey);
  const store = new SpecStore({ maxKeys, pinned: preloadSdkKeys, allows });
  freeReplacedVersions(store);
  store.listen({
    removed: ({ feed, ended }) => {
      if (ended === "evicted") telemetry.specs.emit({ kind: "spec_evicted", feed });
    },
  });
  admission.knownBy((sdkKey) => store.holds(sdkKey) || isPreloaded(sdkKey));
  allowList.onRemoved((removed) => {
    for (const sdkKey of removed) store.removeKey(sdkKey, "unauthorized");
  });
  return store;
}
