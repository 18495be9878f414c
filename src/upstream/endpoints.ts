import type { Clock } from "../platform/clock.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import { EndpointHealth } from "./endpoint-health.ts";
import type { EmitEndpointEvent, EndpointFailure } from "./events.ts";

/** One endpoint of upstream. */
export interface EndpointMember {
  readonly endpoint: UpstreamEndpoint;
  /** Host, and port if it is not that of the scheme. */
  readonly host: string;
  /** Without user name and password. */
  readonly url: string;
  readonly health: EndpointHealth;
  /** The first of the list: the only one that can reject an SDK key. */
  readonly isPreferred: boolean;
}

interface EndpointToUse {
  readonly endpoint: UpstreamEndpoint;
  readonly host: string;
  readonly url: string;
}

interface EndpointsOptions {
  /** In the order of preference. At least one. */
  readonly endpoints: readonly EndpointToUse[];
  readonly clock: Clock;
  /** Returns the current polling interval. */
  readonly intervalMs: () => number;
  readonly emit: EmitEndpointEvent;
}

/** A request that was of no use, as the health of the endpoint sees it. */
export interface UselessAnswer {
  readonly failure: EndpointFailure;
  /** Whether the failure says something about other requests. */
  readonly counts: boolean;
  readonly retryAfterMs?: number | undefined;
}

/** A longer silence than this before a response is worth a second request, however slow the endpoint usually is. */
const MAX_HEDGE_MS = 2_000;
const MIN_HEDGE_MS = 300;
/** How many times the usual latency counts as silence. */
const HEDGE_LATENCIES = 3;

/**
 * The endpoints of upstream, in the order in which to ask them. Config specs and ID lists share what is known of their health. An
 * endpoint that fails repeatedly is asked last, and tried from time to time with single requests until it responds.
 */
export class UpstreamEndpoints {
  readonly members: readonly EndpointMember[];
  readonly #emit: EmitEndpointEvent;

  constructor({ endpoints, clock, intervalMs, emit }: EndpointsOptions) {
    this.#emit = emit;
    this.members = endpoints.map((each, at) => ({
      ...each,
      health: new EndpointHealth(clock, intervalMs),
      isPreferred: at === 0,
    }));
  }

  /** Whether there is a choice. */
  get areSeveral(): boolean {
    return this.members.length > 1;
  }

  /** The endpoint that is asked first: the first that works or, if none does, the preferred one. */
  get inUse(): EndpointMember {
    const [first] = this.order();
    if (first === undefined) throw new Error("there is no endpoint");
    return first;
  }

  /** Returns the members in the order in which to ask them. */
  order(): readonly EndpointMember[] {
    const [ill, well] = [[], []] as [EndpointMember[], EndpointMember[]];
    for (const member of this.members) (member.health.isIll ? ill : well).push(member);
    return [...well, ...ill];
  }

  /** Returns members that should be tried beside the request that is about to start. Call it once for each request. */
  takeTries(): readonly EndpointMember[] {
    return this.order()
      .slice(1)
      .filter(({ health }) => health.takeTry());
  }

  /** Returns after how many ms of silence the next endpoint is asked as well. */
  hedgeAfterMs({ health }: EndpointMember): number {
    return Math.min(MAX_HEDGE_MS, Math.max(MIN_HEDGE_MS, HEDGE_LATENCIES * (health.latencyMs ?? 0)));
  }

  /** The endpoint sent a valid response. `lags`: whether what is held is newer; undefined if that is not known. */
  succeeded(member: EndpointMember, lags?: boolean): void {
    this.#emit({ kind: "endpoint_asked", endpoint: member.host, result: lags ? "lagging" : "usable" });
    const hasRecovered = member.health.succeeded(lags);
    if (hasRecovered) this.#emit({ kind: "endpoint_recovered", url: member.url, using: this.inUse.url });
  }

  /** A request to the endpoint was of no use. */
  failed(member: EndpointMember, { failure, ...weight }: UselessAnswer): void {
    const result = failure.cause === "unauthorized" ? "unauthorized" : "failed";
    this.#emit({ kind: "endpoint_asked", endpoint: member.host, result });
    member.health.failed(failure, weight);
    if (!member.health.isIll || !this.areSeveral) return;
    const { inUse } = this;
    const using = inUse.health.isIll ? undefined : inUse.url;
    this.#emit({ kind: "endpoint_failing", url: member.url, failure, using });
  }

  /** The content of a response was of no use, which shows only later. */
  refused({ health }: EndpointMember, failure: EndpointFailure): void {
    health.failed(failure, { counts: false });
  }
}
