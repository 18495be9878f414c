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
  readonly relays_total: number;
  /** At most 100, this one first. A relay that dies disappears after 30 s. */
  readonly relays: readonly RelayOfFleet[];
}

export interface RelayOfFleet {
  /** Made at its start. */
  readonly id: string;
  readonly this_relay: boolean;
  readonly host: string;
  readonly version: string;
  readonly mode: string;
  readonly ready: boolean;
  readonly started_at: Timestamp;
  /** How long ago it wrote this, by the clock of Redis. */
  readonly seen_ago_s: number;
  readonly sdk_keys: number;
  readonly feeds: number;
  readonly streams: number;
  /** The highest version of any feed that it holds. */
  readonly newest_lcut: number | null;
  readonly fleet_polling: boolean;
}
