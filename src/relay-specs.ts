import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { EmitSpecEvent } from "./specs/events.ts";
import type { Feed } from "./specs/feed.ts";
import { SpecPoller } from "./specs/poller.ts";
import { WorkerPreparer } from "./specs/preparer.ts";
import { SpecRefresher } from "./specs/refresh.ts";
import { SpecQuery } from "./specs/spec-query.ts";
import { SpecStore } from "./specs/spec-store.ts";
import { UpstreamEndpoint } from "./upstream/endpoint.ts";
import { StatsigSpecs } from "./upstream/statsig-specs.ts";
import { VERSION } from "./version.ts";

export interface RunningSpecs extends AsyncDisposable {
  readonly query: SpecQuery;
  /** Until every preloaded key has data. */
  readonly notReady: () => string | undefined;
}

/** The flow from upstream to memory: polls, checks, keeps. */
export function startSpecs(
  config: Config,
  { clock, emit }: { readonly clock: Clock; readonly emit: EmitSpecEvent },
): RunningSpecs {
  const stopping = new AbortController();
  const { upstreamUrl: baseUrl, upstreamProxied: proxied, maxKeys } = config;
  const endpoint = new UpstreamEndpoint({ baseUrl, proxied, relayVersion: VERSION });
  const store = new SpecStore({ maxKeys, pinned: config.preloadSdkKeys });
  store.listen({
    removed: ({ feed, ended }) => {
      if (ended === "evicted") emit({ kind: "spec_evicted", feed });
    },
  });
  const preparer = new WorkerPreparer();
  const refresher = new SpecRefresher({
    source: new StatsigSpecs(endpoint, clock),
    preparer,
    store,
    clock,
    policy: { clearOnUnauthorized: config.clearOnUnauthorized },
    maxInFlight: config.maxRequestsInFlight,
    maxKeys,
    emit,
    signal: stopping.signal,
  });
  const preload = preloadFeeds(config);
  const poller = new SpecPoller({ store, refresher, clock, intervalMs: config.pollIntervalMs, preload });
  poller.start();
  return {
    query: new SpecQuery({ store, refresher, clock, maxDenials: DENIALS_PER_KEY * maxKeys }),
    notReady: () => missingKeys(store, preload),
    async [Symbol.asyncDispose]() {
      await poller[Symbol.asyncDispose]();
      stopping.abort(new Error("the relay is shutting down"));
      await preparer[Symbol.asyncDispose]();
    },
  };
}

/** Valid keys may be asked for in all their feeds before upstream is up. */
const DENIALS_PER_KEY = 4;

/** What SDKs of either kind ask for first. Protobuf is fetched when somebody asks. */
function preloadFeeds(config: Config): readonly Feed[] {
  return config.preloadSdkKeys.flatMap((sdkKey) => [
    { sdkKey, version: "v1", format: "json" } as const,
    { sdkKey, version: "v2", format: "json" } as const,
  ]);
}

function missingKeys(store: SpecStore, preload: readonly Feed[]): string | undefined {
  const missing = preload.filter((feed) => store.peek(feed) === undefined);
  if (missing.length === 0) return undefined;
  return `${missing.length} of ${preload.length} preloaded feeds have no data yet`;
}
