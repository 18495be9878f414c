import type { SdkKey } from "../../../src/access/sdk-key.ts";
import type { Feed } from "../../../src/specs/feed.ts";
import type { SpecPreparer } from "../../../src/specs/payload/preparer.ts";
import { SpecRefresher } from "../../../src/specs/refresh.ts";
import type { FetchOutcome, SpecSource } from "../../../src/specs/source.ts";
import { SpecStore } from "../../../src/specs/store.ts";
import { UpstreamEndpoint } from "../../../src/upstream/endpoint.ts";
import { UpstreamEndpoints } from "../../../src/upstream/endpoints.ts";
import type { EndpointEvent } from "../../../src/upstream/events.ts";
import { FailoverSpecs } from "../../../src/upstream/failover-specs.ts";
import { FakeClock } from "../common/fake-clock.ts";
import { version } from "../specs/scripted-source.ts";
import { instantPreparer } from "../specs/spec-flow.ts";

export const INTERVAL_MS = 10_000;
export const STALE_AFTER_MS = 60_000;
const feed: Feed = { sdkKey: "secret-a" as SdkKey, version: "v2", format: "json" };

/** Answers a request for what is newer than `sinceTime`. */
export type EndpointScript = (sinceTime: number, signal: AbortSignal) => FetchOutcome | Promise<FetchOutcome>;

/** A payload that is refused when it is checked. */
export const GARBAGE = version(0, "garbage");

/** Refuses {@link GARBAGE} as the real one refuses what is no config spec. */
const preparer: SpecPreparer = {
  ...instantPreparer,
  async prepare(raw) {
    const prepared = await instantPreparer.prepare(raw);
    const isGarbage = prepared.kind === "prepared" && prepared.payload.checksum === "garbage";
    return isGarbage ? { kind: "refused", reason: "malformed", detail: "garbage" } : prepared;
  },
};

/** The real choice of endpoints, refresher and store, with scripted endpoints and a fake clock. */
export function scriptedEndpoints(count: number) {
  const clock = new FakeClock();
  const scripts: EndpointScript[] = [];
  const asked: number[] = [];
  const events: EndpointEvent[] = [];
  const endpoints = new UpstreamEndpoints({
    endpoints: Array.from({ length: count }, (_, at) => {
      const url = `http://endpoint-${at}.invalid`;
      const endpoint = new UpstreamEndpoint({ baseUrl: url, relayVersion: "0", proxied: false });
      return { endpoint, url, host: `endpoint-${at}.invalid` };
    }),
    clock,
    intervalMs: () => INTERVAL_MS,
    emit: (event) => events.push(event),
  });
  const openSource = (at: number): SpecSource => ({
    fetchSpecs: async (_feed, { lcut }, signal, progressed = () => {}) => {
      asked.push(at);
      const outcome = await (scripts[at] as EndpointScript)(lcut, signal);
      progressed();
      return outcome;
    },
  });
  const source = new FailoverSpecs({
    endpoints,
    clock,
    staleAfterMs: () => STALE_AFTER_MS,
    openSource: (member) => openSource(endpoints.members.indexOf(member)),
  });
  const store = new SpecStore({ maxKeys: 10 });
  const refresher = new SpecRefresher({
    ...{ source, preparer, store, clock, maxInFlight: 64, maxKeys: 10 },
    policy: { clearOnUnauthorized: true },
    intervalMs: () => INTERVAL_MS,
    emit: () => {},
    signal: new AbortController().signal,
  });
  return {
    ...{ clock, scripts, asked, events, endpoints },
    held: () => store.peek(feed),
    poll: () => refresher.refresh(feed, "poll"),
    firstRequest: () => refresher.refresh(feed, "cache_miss"),
  };
}
