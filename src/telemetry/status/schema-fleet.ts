import type { Timestamp } from "./timestamp.ts";

/** Each relay with CACHE `redis` and the same key prefix writes a record every ten seconds, whether or not it shares polls. */
export interface FleetStatus {
  /** `unknown`: the relays are those that were last read, if any. */
  readonly state: "ok" | "unknown";
  /** Why it is unknown. */
  readonly reason: string | null;
  /** When the relays were last read from Redis. */
  readonly read_at: Timestamp;
  /** Whether this relay shares polls (`--fleet-polling`). */
  readonly fleet_polling: boolean;
  /** Relays that are present. */
  readonly relays_total: number;
  /** At most 100, this one first. A relay that dies disappears after 30 s. */
  readonly relays: readonly RelayOfFleet[];
}

/** A relay as it describes itself. */
export interface RelayOfFleet {
  /** Made at its start. */
  readonly id: string;
  /** Whether it is the relay that responds. */
  readonly this_relay: boolean;
  /** The host name of its machine or pod. */
  readonly host: string;
  /** The version of the relay. */
  readonly version: string;
  /** MODE: which protocols it serves. */
  readonly mode: string;
  /** Whether its readiness probes succeed. */
  readonly ready: boolean;
  /** When it started, by its own clock. */
  readonly started_at: Timestamp;
  /** How long ago it wrote this, by the clock of Redis. */
  readonly seen_ago_s: number;
  /** SDK keys with cached config specs. */
  readonly sdk_keys: number;
  /** Cached feeds. */
  readonly feeds: number;
  /** Open streams over all protocols. */
  readonly streams: number;
  /** The highest version of any feed that it holds. */
  readonly newest_lcut: number | null;
  /** Whether it shares polls (`--fleet-polling`). */
  readonly fleet_polling: boolean;
}
