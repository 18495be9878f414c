import { maskSdkKey } from "../../access/sdk-key.ts";
import type { EndpointMember, UpstreamEndpoints } from "../../upstream/endpoints.ts";
import type { FeedHealth } from "./feeds.ts";
import type { FoundProblem } from "./next-steps.ts";
import type { PollDelay, UpstreamPolls } from "./polls.ts";
import {
  type EndpointStatus,
  type FeedState,
  type PollError,
  toIso,
  toIsoOrNull,
  type UpstreamStatus,
} from "./schema.ts";

/** The configuration of upstream that the status page shows. */
interface UpstreamSettings {
  /** Without user name and password. */
  readonly url: string;
  readonly throughProxy: boolean;
  readonly intervalMs: number;
  readonly staleAfterMs: number;
  readonly endpoints: UpstreamEndpoints;
}

/** The health of upstream as some feeds see it. Times are ms since the Unix epoch. */
interface FeedsSummary {
  readonly state: UpstreamStatus["state"];
  readonly failingSince: number | undefined;
  readonly failing: number;
  readonly stale: number;
  readonly held: number;
  readonly total: number;
  readonly lastError: PollError | undefined;
  /** When upstream confirmed the stale feed whose last confirmation is the oldest. */
  readonly staleSince: number | undefined;
  readonly delayed: PollDelay | undefined;
}

/** The health of upstream as all feeds see it. */
export interface UpstreamHealth extends FeedsSummary {
  /** Feeds of keys that upstream rejects with 401 or 403. */
  readonly unauthorized: readonly FeedHealth[];
  /** Without the unauthorized feeds. */
  readonly others: FeedsSummary;
}

/** The number of keys that a problem names. */
const MAX_NAMED = 5;

/**
 * Feeds that are not countable are ignored: a missing preloaded feed is no problem if another feed of its key is cached,
 * since SDKs of one kind request one feed.
 */
export function findUpstream(
  feeds: readonly FeedHealth[],
  polls: UpstreamPolls,
  isCountable: (health: FeedHealth) => boolean,
): UpstreamHealth {
  const counted = feeds.filter(isCountable);
  const unauthorized = counted.filter(isUnauthorized);
  // Without any feed, failing requests are those for keys without anything cached yet.
  const isEmptyFailing = counted.length === 0 && polls.failingSince !== undefined;
  return {
    ...summarize(counted, polls, isEmptyFailing),
    unauthorized,
    others: summarize(
      counted.filter((health) => !unauthorized.includes(health)),
      polls,
      isEmptyFailing,
    ),
  };
}

function isUnauthorized({ held, polls, failingSince }: FeedHealth): boolean {
  if (failingSince === undefined) return held?.isRevoked === true;
  return polls?.lastError?.reason === "unauthorized";
}

function summarize(
  counted: readonly FeedHealth[],
  polls: UpstreamPolls,
  isEmptyFailing: boolean,
): FeedsSummary {
  const failing = counted.filter(({ failingSince }) => failingSince !== undefined);
  const stale = counted.filter(({ state }) => state === "stale");
  const found = {
    failing: failing.length,
    stale: stale.length,
    held: counted.filter(({ held }) => held !== undefined).length,
    total: counted.length,
    staleSince: earliest(stale.map(({ held }) => held?.confirmedAt)),
    delayed: polls.delayed,
  };
  if (failing.length === 0) {
    const state = isEmptyFailing ? "failing" : polls.lastSuccessAt === undefined ? "unknown" : "ok";
    return {
      ...found,
      state,
      failingSince: isEmptyFailing ? polls.failingSince : undefined,
      lastError: polls.lastError,
    };
  }
  const state = failing.length === counted.length ? "failing" : "partly_failing";
  const latest = failing.reduce((a, b) =>
    (b.polls?.lastErrorElapsed ?? 0) > (a.polls?.lastErrorElapsed ?? 0) ? b : a,
  );
  const failingSince = earliest(failing.map((each) => each.failingSince));
  return { ...found, state, failingSince, lastError: latest.polls?.lastError };
}

export function formatUpstream(
  found: UpstreamHealth,
  polls: UpstreamPolls,
  { url, throughProxy, intervalMs, staleAfterMs, endpoints }: UpstreamSettings,
): UpstreamStatus {
  return {
    url,
    through_proxy: throughProxy,
    polling_interval_s: intervalMs / 1_000,
    stale_after_s: staleAfterMs / 1_000,
    state: found.state,
    failing_since: toIsoOrNull(found.failingSince),
    failing_feeds: found.failing,
    last_success_at: toIsoOrNull(polls.lastSuccessAt),
    last_known_good_at: toIsoOrNull(found.staleSince),
    last_error: found.lastError ?? null,
    endpoints: endpoints.members.map((member) => formatEndpoint(member, endpoints.inUse)),
  };
}

function formatEndpoint(member: EndpointMember, inUse: EndpointMember): EndpointStatus {
  const { url, endpoint, health } = member;
  const { failingSince, laggingSince, lastFailure, lastSuccessAt, latencyMs } = health;
  const works = laggingSince === undefined ? "ok" : "lagging";
  return {
    url,
    through_proxy: endpoint.proxied,
    in_use: member === inUse,
    state: failingSince !== undefined ? "failing" : lastSuccessAt === undefined ? "unknown" : works,
    failing_since: toIsoOrNull(failingSince),
    lagging_since: toIsoOrNull(laggingSince),
    last_success_at: toIsoOrNull(lastSuccessAt),
    last_error: lastFailure
      ? { at: toIso(lastFailure.at), reason: lastFailure.cause, detail: lastFailure.detail }
      : null,
    latency_ms: latencyMs === undefined ? null : Math.round(latencyMs),
  };
}

/** If upstream as a whole fails, that is a problem of its own. */
export function* endpointProblems({ state, endpoints }: UpstreamStatus): Iterable<FoundProblem> {
  if (state === "failing") return;
  for (const each of endpoints) {
    if (each.state !== "failing" || endpoints.length === 1) continue;
    const text = `The upstream endpoint ${each.url} fails; others are asked instead`;
    const detail = each.last_error?.detail ?? null;
    yield { kind: "endpoint_failing", severity: "warning", text, since: each.failing_since, detail };
  }
}

export function countByState(feeds: readonly FeedHealth[]): Record<FeedState, number> {
  const counts = { fresh: 0, failing: 0, stale: 0, never_polled: 0 };
  for (const { state } of feeds) counts[state]++;
  return counts;
}

export function* upstreamProblems({ unauthorized, others }: UpstreamHealth): Iterable<FoundProblem> {
  const served = unauthorized.filter(({ held }) => held !== undefined);
  const servedKeys = new Set(served.map(({ feed }) => feed.sdkKey));
  const notServed = unauthorized.filter(({ feed }) => !servedKeys.has(feed.sdkKey));
  yield* keyProblems(served, (keys) => `Upstream no longer accepts ${keys}: serving the last known config`);
  yield* keyProblems(notServed, (keys) => `Upstream does not accept ${keys}: no config to serve`);
  yield* otherProblems(others);
}

function* keyProblems(
  feeds: readonly FeedHealth[],
  describe: (keys: string) => string,
): Iterable<FoundProblem> {
  const keys = [...new Set(feeds.map(({ feed }) => maskSdkKey(feed.sdkKey)))];
  if (keys.length === 0) return;
  const names = keys.slice(0, MAX_NAMED).join(", ") + (keys.length > MAX_NAMED ? ", ..." : "");
  const text = describe(keys.length === 1 ? `SDK key ${names}` : `${keys.length} SDK keys (${names})`);
  const since = toIsoOrNull(earliest(feeds.map(({ failingSince }) => failingSince)));
  const detail = feeds[0]?.polls?.lastError?.detail ?? null;
  yield { kind: "keys_unauthorized", severity: "warning", text, since, detail };
}

function* otherProblems(found: FeedsSummary): Iterable<FoundProblem> {
  const { state, failing, stale, held, total, failingSince, lastError, staleSince } = found;
  const cause = describeCause(lastError?.reason ?? "");
  const detail = lastError?.detail ?? null;
  const common = { severity: "warning", since: toIsoOrNull(failingSince), detail } as const;
  if (stale > 0) {
    const which =
      stale === total ? "Serving stale specs" : `Serving stale specs for ${stale} of ${total} feeds`;
    const text = `${which}: ${failing > 0 ? cause : "upstream has not confirmed them lately"}`;
    yield { kind: "stale_feeds", ...common, text, since: toIsoOrNull(failingSince ?? staleSince) };
  } else if (state === "failing") {
    const text =
      held === 0 ? `No config to serve: ${cause}` : `The cached config is still fresh, but ${cause}`;
    yield { kind: "upstream_failing", ...common, text };
  } else if (state === "partly_failing") {
    yield { kind: "feeds_failing", ...common, text: `Polls of ${failing} of ${total} feeds fail: ${cause}` };
  }
  if (found.delayed !== undefined) yield delayProblem(found.delayed);
}

function delayProblem({ since, waitedMs, intervalMs }: PollDelay): FoundProblem {
  const text = "Polls are delayed beyond the polling interval: raise --max-in-flight (-u)";
  const detail = `a poll waited ${toSeconds(waitedMs)} s, the interval is ${toSeconds(intervalMs)} s`;
  return { kind: "polls_delayed", severity: "warning", text, since: toIsoOrNull(since), detail };
}

function toSeconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}

function describeCause(reason: string): string {
  switch (reason) {
    case "unreachable":
      return "upstream is unreachable";
    case "timeout":
      return "upstream does not respond in time";
    case "status":
      return "upstream responds with errors";
    case "too_large":
      return "upstream sends config specs larger than --max-payload-in-mb";
    case "in_future":
      return "upstream sends versions from the future";
    default:
      return "upstream sends invalid responses";
  }
}

function earliest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : known.reduce((a, b) => Math.min(a, b));
}
