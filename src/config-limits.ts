import type { Settings } from "./settings.ts";

/** What one client, or all together, may use up. */
export interface LimitsConfig {
  /** On each port. */
  readonly maxConnections: number;
  /** Whether somebody asked for so many. */
  readonly isMaxConnectionsGiven: boolean;
  readonly maxInFlight: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxUrlLength: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Of one HTTP/2 connection. */
  readonly maxStreamsPerConnection: number;
  readonly maxResetsPerMin: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  /** How long a client may read nothing of what it was sent. */
  readonly unreadTimeoutMs: number;
}

/** Streams beyond the admitted ones must reach the service, which answers them RESOURCE_EXHAUSTED. */
const SPARE_STREAMS = 100;

/** Throws ConfigError. */
export function readLimits(settings: Settings, maxStreams: number): LimitsConfig {
  return {
    maxConnections: settings.integer("max-connections"),
    isMaxConnectionsGiven: settings.isGiven("max-connections"),
    maxInFlight: settings.integer("max-in-flight"),
    maxHeaderBytes: settings.integer("max-header-size-in-kb") * 1024,
    maxHeaders: settings.integer("max-header-count"),
    maxUrlLength: settings.integer("max-url-length"),
    headerTimeoutMs: settings.integer("header-timeout-in-s") * 1_000,
    bodyTimeoutMs: settings.integer("body-timeout-in-s") * 1_000,
    idleTimeoutMs: settings.integer("idle-timeout-in-s") * 1_000,
    maxStreamsPerConnection: settings.isGiven("http2-max-concurrent-streams")
      ? settings.integer("http2-max-concurrent-streams")
      : maxStreams + SPARE_STREAMS,
    maxResetsPerMin: settings.integer("http2-max-resets-per-min"),
    keepaliveTimeMs: settings.integer("http2-keepalive-time-in-s") * 1_000,
    keepaliveTimeoutMs: settings.integer("http2-keepalive-timeout-in-s") * 1_000,
    // Longer: to the system, a client that is paused looks like one that is gone.
    unreadTimeoutMs: 3 * settings.integer("http2-keepalive-timeout-in-s") * 1_000,
  };
}
