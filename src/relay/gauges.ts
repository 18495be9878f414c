import { totalmem } from "node:os";
import { maskSdkKey } from "../access/sdk-key.ts";
import type { StreamLimit } from "../grpc/stream-limit.ts";
import type { Clock } from "../platform/clock.ts";
import type { InFlight } from "../server/limits.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";
import type { MetricRegistry } from "../telemetry/metrics/registry.ts";
import { toTags } from "../telemetry/metrics/tags.ts";
import { VERSION } from "../version.ts";
import type { Health } from "./lifecycle.ts";
import type { RunningEvents } from "./log-events.ts";
import type { RunningListeners } from "./servers.ts";
import type { RunningSpecs } from "./specs.ts";

interface GaugedParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly specs: RunningSpecs;
  readonly events: RunningEvents;
  readonly listeners: RunningListeners;
  readonly inFlight: InFlight;
  readonly admission: StreamLimit;
}

/** Registers the gauges that are read from the running parts on each scrape. */
export function gaugeParts(registry: MetricRegistry, parts: GaugedParts): void {
  const { health, specs, listeners, inFlight, admission } = parts;
  registry.gauge("BuildInfo", () => [[{ version: VERSION }, 1]]);
  registry.gauge("Ready", () => [[{}, Number(health.notReady().length === 0)]]);
  registry.gauge("MemoryLimitBytes", () => [[{}, process.constrainedMemory() || totalmem()]]);
  registry.gauge("Connections", () =>
    listeners.connections().map(([protocol, count]) => [{ protocol }, count] as const),
  );
  registry.gauge("RequestsInFlight", () => [[{}, inFlight.count]]);
  registry.gauge("GrpcStreamsAllowed", () => [[{}, admission.maxStreams]]);
  registry.gauge("SdkKeysHeld", () => [[{}, specs.store.keyCount]]);
  gaugeEvents(registry, parts);
  gaugeFeeds(registry, parts);
  specs.store.listen({
    published: ({ isFollowed, snapshot: { feed, lcut } }) => {
      if (isFollowed) registry.count("StreamingChannelGotNewData", { ...toTags(feed), lcut: String(lcut) });
    },
    removed: ({ feed: { sdkKey } }) => {
      if (!specs.store.holds(sdkKey)) registry.forgetKey(maskSdkKey(sdkKey));
    },
  });
}

function gaugeEvents(registry: MetricRegistry, { events }: GaugedParts): void {
  // Events wait in memory for as long as the spool can't be used.
  const tags = () => ({ state: events.isDurable ? "spool" : "memory" });
  registry.gauge("LogEventQueueEvents", () => [[tags(), events.depth.events]]);
  registry.gauge("LogEventQueueBytes", () => [[tags(), events.depth.bytes]]);
  registry.gauge("LogEventQueueFilled", () => [[tags(), events.filled]]);
}

function gaugeFeeds(registry: MetricRegistry, { specs, clock }: GaugedParts): void {
  const eachFeed = (read: (held: HeldFeed) => number) => () =>
    [...specs.store.held()].map(
      (held) => [{ ...toTags(held.feed), format: held.feed.format }, read(held)] as const,
    );
  registry.gauge(
    "ConfigSpecLcutTimestampMs",
    eachFeed(({ snapshot }) => snapshot.lcut),
  );
  registry.gauge(
    "ConfigSpecBytes",
    eachFeed(({ snapshot }) => snapshot.bytes.length),
  );
  const receivedAt = new WeakMap<Snapshot, number>();
  specs.store.listen({ published: ({ snapshot }) => receivedAt.set(snapshot, clock.elapsed()) });
  // What came from a backup is at least so old.
  const heldForMs = ({ snapshot }: HeldFeed) =>
    clock.elapsed() - (receivedAt.get(snapshot) ?? clock.elapsed());
  registry.gauge(
    "ConfigSpecConfirmedAgeS",
    eachFeed((held) => (held.confirmedAgoMs(clock) ?? heldForMs(held)) / 1_000),
  );
}
