import type { Config } from "../config/config.ts";
import { displayUrl } from "../config/settings.ts";
import type { Clock } from "../platform/clock.ts";
import { Spacing } from "../platform/spacing.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Tracing } from "../telemetry/tracing/tracing.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { UpstreamEndpoints } from "../upstream/endpoints.ts";
import { VERSION } from "../version.ts";

export interface RunningUpstream {
  readonly endpoints: UpstreamEndpoints;
  /** Returns the current polling interval. */
  readonly intervalMs: () => number;
  /** The time between the starts of two polls, of config specs and ID lists together. */
  readonly spacing: Spacing;
  /** Returns the age of the last confirmation from which a feed is stale, in ms. */
  readonly staleAfterMs: () => number;
  /** The same for what a relay says of its own upstream. */
  readonly relayStaleAfterMs: () => number;
  /** Opens a further server with the same limits. */
  readonly open: (location: Location) => UpstreamEndpoint;
  /** Applies another interval and spacing. */
  reconfigure(config: Config): void;
}

interface Location {
  readonly baseUrl: string;
  readonly proxied: boolean;
}

interface UpstreamParts {
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, "upstream">;
  readonly tracing: Tracing;
}

/** A feed is stale after this many polling intervals without a confirmation: one or two polls may fail or be late. */
const STALE_AFTER_INTERVALS = 3;

/** The minimum behind another relay: the polling intervals of the relays on the path add up, and are not known here. */
const STALE_AFTER_RELAYED_MS = 60_000;

/** Opens the endpoints that config specs and ID lists come from. */
export function openUpstream(config: Config, { clock, telemetry, tracing }: UpstreamParts): RunningUpstream {
  const { timeouts: limits, reusesConnections } = config.upstream;
  const common = { relayVersion: VERSION, limits, reusesConnections, carries: tracing.headers };
  const open = (location: Location) => new UpstreamEndpoint({ ...location, ...common });
  let intervalMs = config.pollIntervalMs;
  let { pollSpacingMs } = config.upstream;
  const endpoints = new UpstreamEndpoints({
    endpoints: config.upstreamEndpoints.map(({ url, proxied }) => ({
      endpoint: open({ baseUrl: url, proxied }),
      host: new URL(url).host,
      url: displayUrl(url),
    })),
    clock,
    intervalMs: () => intervalMs,
    emit: telemetry.upstream.emit,
  });
  const directMs = () => STALE_AFTER_INTERVALS * intervalMs;
  const relayStaleAfterMs = () => Math.max(directMs(), STALE_AFTER_RELAYED_MS);
  return {
    ...{ endpoints, open, relayStaleAfterMs, intervalMs: () => intervalMs },
    spacing: new Spacing(clock, () => pollSpacingMs),
    staleAfterMs: () => (endpoints.inUse.health.isRelay ? relayStaleAfterMs() : directMs()),
    reconfigure(next) {
      intervalMs = next.pollIntervalMs;
      ({ pollSpacingMs } = next.upstream);
    },
  };
}
