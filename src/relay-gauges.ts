import type { Clock } from "./clock.ts";
import type { StreamAdmission } from "./grpc/stream-admission.ts";
import type { InFlight } from "./limits/in-flight.ts";
import type { RunningEvents } from "./relay-events.ts";
import type { RunningListeners } from "./relay-listeners.ts";
import type { RunningSpecs } from "./relay-specs.ts";
import type { HeldFeed } from "./specs/held-feed.ts";
import { tagsOf } from "./telemetry/metrics/feed-tags.ts";
import type { MetricRegistry } from "./telemetry/metrics/metric-registry.ts";

export interface GaugedParts {
  readonly clock: Clock;
  readonly specs: RunningSpecs;
  readonly events: RunningEvents;
  readonly listeners: RunningListeners;
  readonly inFlight: InFlight;
  readonly admission: StreamAdmission;
}

/** What is read when somebody looks, of the parts that run. */
export function gaugeParts(registry: MetricRegistry, parts: GaugedParts): void {
  const { specs, events, listeners, inFlight } = parts;
  registry.gauge("Connections", async () => {
    const connections = await listeners.connections();
    return connections.map(([protocol, count]) => [{ protocol }, count] as const);
  });
  registry.gauge("RequestsInFlight", () => [[{}, inFlight.count]]);
  registry.gauge("SdkKeysHeld", () => [[{}, specs.store.keyCount]]);
  const state = events.isDurable ? "spool" : "memory";
  registry.gauge("LogEventQueueEvents", () => [[{ state }, events.depth.events]]);
  registry.gauge("LogEventQueueBytes", () => [[{ state }, events.depth.bytes]]);
  gaugeFeeds(registry, parts);
}

function gaugeFeeds(registry: MetricRegistry, { specs, clock }: GaugedParts): void {
  const eachFeed = (read: (held: HeldFeed) => number | undefined) => () =>
    [...specs.store.held()].flatMap((held) => {
      const value = read(held);
      return value === undefined
        ? []
        : [[{ ...tagsOf(held.feed), format: held.feed.format }, value] as const];
    });
  registry.gauge(
    "ConfigSpecLcutTimestampMs",
    eachFeed(({ snapshot }) => snapshot.lcut),
  );
  registry.gauge(
    "ConfigSpecBytes",
    eachFeed(({ snapshot }) => snapshot.bytes.length),
  );
  registry.gauge(
    "ConfigSpecConfirmedAgeS",
    eachFeed(({ confirmedAt }) =>
      confirmedAt === undefined ? undefined : Math.max(0, clock.now() - confirmedAt) / 1_000,
    ),
  );
}
