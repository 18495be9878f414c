import { totalmem } from "node:os";
import { maskSdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";
import type { MetricRegistry } from "../telemetry/metrics/registry.ts";
import { type FeedTags, toTags } from "../telemetry/metrics/tags.ts";
import { VERSION } from "../version.ts";
import type { Health } from "./lifecycle.ts";
import type { RunningEvents } from "./log-events.ts";
import type { RunningServing } from "./serving.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface GaugeParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly specs: RunningSpecs;
  readonly events: RunningEvents;
  readonly serving: RunningServing;
  readonly telemetry: Pick<RunningTelemetry, "keys" | "rpc">;
}

/** Registers the gauges that read the state of components, and the metrics that follow the store. */
export function registerGauges(
  registry: MetricRegistry,
  { monitoring, bootstrap }: Config,
  parts: GaugeParts,
): void {
  const { health, specs, serving, telemetry } = parts;
  registry.gauge("BuildInfo", () => [[{ version: VERSION }, 1]]);
  registry.gauge("Ready", () => [[{}, Number(health.notReady().length === 0)]]);
  registry.gauge("MemoryLimitBytes", () => [[{}, process.constrainedMemory() || totalmem()]]);
  registry.gauge("Connections", () =>
    serving.connections().map(([protocol, count]) => [{ protocol }, count] as const),
  );
  registry.gauge("RequestsInFlight", () => [[{}, serving.requestsInFlight()]]);
  registry.gauge("GrpcStreamsAllowed", () => [[{}, serving.streamLimit.maxStreams]]);
  registry.gauge("DeltaMemoryBytes", () => [[{}, specs.deltaBytes()]]);
  registry.gauge("SdkKeysPinned", () => [[{}, specs.pins?.pinnedKeys().length ?? 0]]);
  registry.gauge("VersionHistoryBytes", () => [[{}, specs.keptVersionBytes()]]);
  registry.gauge("SdkKeysHeld", () => [[{}, specs.store.keyCount]]);
  registerQueueGauges(registry, parts);
  registerFeedGauges(registry, parts);
  // Offline, nothing ever confirms what is served.
  if (!bootstrap.offline) registerConfirmedAge(registry, parts);
  // An interval of 0 turns it off.
  if (monitoring.currentLcutIntervalMs !== undefined) {
    registerCurrentLcut(registry, parts, monitoring.currentLcutIntervalMs);
  }
  specs.store.listen({
    published: ({ isFollowed, snapshot: { feed, lcut } }) => {
      if (isFollowed) registry.count("StreamingChannelGotNewData", { ...toTags(feed), lcut: String(lcut) });
    },
    removed: ({ feed: { sdkKey } }) => {
      if (specs.store.holds(sdkKey)) return;
      registry.forgetKey(maskSdkKey(sdkKey), () => telemetry.keys.knows(sdkKey));
      telemetry.rpc.keyRemoved(sdkKey);
    },
  });
}

/** Feeds of one SDK key and path differ in their format only: the oldest version counts, as in the original proxy. */
function registerCurrentLcut(
  registry: MetricRegistry,
  { specs, clock }: GaugeParts,
  intervalMs: number,
): void {
  let sample: ReadonlyMap<string, readonly [FeedTags, number]> = new Map();
  let readAt = Number.NEGATIVE_INFINITY;
  specs.store.listen({ removed: () => (sample = new Map()) });
  registry.gauge("ConfigSpecCurrentLcut", () => {
    if (sample.size > 0 && clock.elapsed() - readAt < intervalMs) return sample.values();
    readAt = clock.elapsed();
    const oldest = new Map<string, readonly [FeedTags, number]>();
    for (const { feed, snapshot } of specs.store.held()) {
      const tags = toTags(feed);
      const id = `${tags.sdk_key} ${tags.path}`;
      const lcut = Math.min(oldest.get(id)?.[1] ?? snapshot.lcut, snapshot.lcut);
      oldest.set(id, [tags, lcut]);
    }
    sample = oldest;
    return sample.values();
  });
}

function registerQueueGauges(registry: MetricRegistry, { events }: GaugeParts): void {
  // With a spool, events are in memory as long as the spool is unusable.
  const tags = () => ({ state: events.isDurable ? "spool" : "memory" });
  registry.gauge("LogEventQueueEvents", () => [[tags(), events.depth.events]]);
  registry.gauge("LogEventQueueBytes", () => [[tags(), events.depth.bytes]]);
  registry.gauge("LogEventQueueFilled", () => [[tags(), events.filled]]);
}

function registerFeedGauges(registry: MetricRegistry, { specs }: GaugeParts): void {
  const eachFeed = (read: ReadHeld) => () => readFeeds(specs, read);
  registry.gauge(
    "ConfigSpecLcutTimestampMs",
    eachFeed(({ snapshot }) => snapshot.lcut),
  );
  registry.gauge(
    "ConfigSpecBytes",
    eachFeed(({ snapshot }) => snapshot.bytes.length),
  );
}

function registerConfirmedAge(registry: MetricRegistry, { specs, clock }: GaugeParts): void {
  const receivedAt = new WeakMap<Snapshot, number>();
  specs.store.listen({ published: ({ snapshot }) => receivedAt.set(snapshot, clock.elapsed()) });
  // A version from a backup that upstream has not confirmed is at least this old.
  const cachedForMs = ({ snapshot }: HeldFeed) =>
    clock.elapsed() - (receivedAt.get(snapshot) ?? clock.elapsed());
  registry.gauge("ConfigSpecConfirmedAgeS", () =>
    readFeeds(specs, (held) => (held.confirmedAgoMs(clock) ?? cachedForMs(held)) / 1_000),
  );
}

type ReadHeld = (held: HeldFeed) => number;

function readFeeds({ store }: RunningSpecs, read: ReadHeld) {
  return [...store.held()].map(
    (held) => [{ ...toTags(held.feed), format: held.feed.format }, read(held)] as const,
  );
}
