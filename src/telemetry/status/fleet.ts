import type { Clock } from "../../platform/clock.ts";
import type { FleetSeen } from "../../redis/fleet-view.ts";
import type { PresentRelay } from "../../redis/presence.ts";
import { toIsoOrNull } from "./schema.ts";
import type { FleetStatus, RelayOfFleet } from "./schema-fleet.ts";

const MAX_SHOWN = 100;

/** Shows the relays of a fleet, this one first, and then by host name. */
export function formatFleet(
  { id, relays, readAt, failure }: FleetSeen,
  fleetPolling: boolean,
  clock: Pick<Clock, "now" | "elapsed">,
): FleetStatus {
  const readAgoMs = readAt === undefined ? undefined : clock.elapsed() - readAt;
  const shown = relays
    .toSorted((a, b) => Number(b.id === id) - Number(a.id === id) || a.host.localeCompare(b.host))
    .slice(0, MAX_SHOWN);
  return {
    state: failure === undefined ? "ok" : "unknown",
    reason: failure ?? null,
    read_at: readAgoMs === undefined ? null : toIsoOrNull(clock.now() - readAgoMs),
    fleet_polling: fleetPolling,
    relays_total: relays.length,
    relays: shown.map((relay) => formatRelay(relay, id)),
  };
}

function formatRelay(relay: PresentRelay, own: string): RelayOfFleet {
  return {
    id: relay.id,
    this_relay: relay.id === own,
    host: relay.host,
    version: relay.version,
    mode: relay.mode,
    ready: relay.isReady,
    started_at: toIsoOrNull(relay.startedAt),
    seen_ago_s: Math.round(relay.ageMs / 100) / 10,
    sdk_keys: relay.sdkKeys,
    feeds: relay.feeds,
    streams: relay.streams,
    newest_lcut: relay.newestLcut > 0 ? relay.newestLcut : null,
    fleet_polling: relay.fleetPolling,
  };
}

/** Returns the host name of the relay that last claimed the feed, or its ID if it is gone; undefined if none did. */
export function findClaimant({ relays, claimants }: FleetSeen, feedId: string): string | undefined {
  const id = claimants.get(feedId);
  return id === undefined ? undefined : (relays.find((relay) => relay.id === id)?.host ?? id);
}
