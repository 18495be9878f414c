import { maskSdkKey } from "../../access/sdk-key.ts";
import type { PollDelay, UpstreamPolls } from "../topics/specs.ts";
import type { FeedHealth } from "./feeds.ts";
import { type FeedState, type PollError, type Problem, toIsoOrNull, type UpstreamStatus } from "./schema.ts";

/** What of it the configuration says. */
interface UpstreamSettings {
  /** Without user and password. */
  readonly url: string;
  readonly throughProxy: boolean;
  readonly intervalMs: number;
  readonly staleAfterMs: number;
}

/** How upstream is, by what became of some feeds. */
interface FeedsSummary {
  readonly state: UpstreamStatus["state"];
  readonly failingSince: number | undefined;
  readonly failing: number;
  readonly stale: number;
  readonly held: number;
  readonly total: number;
  readonly lastError: PollError | undefined;
  /** When upstream last confirmed the feed that it confirmed longest ago, of those that are stale. */
  readonly staleSince: number | undefined;
  readonly delayed: PollDelay | undefined;
}

/** How upstream is, by what became of all feeds. */
export interface UpstreamHealth extends FeedsSummary {
  /** Of keys that upstream answers 401 or 403 for. */
  readonly unauthorized: readonly FeedHealth[];
  /** All but those. */
  readonly others: FeedsSummary;
}

/** As many keys as a problem names. */
const MAX_NAMED = 5;

/**
 * `countable`: a preloaded feed that upstream does not have is no trouble as long as another of its key is held, since
 * SDKs of one kind ask for one.
 */
export function findUpstream(
  findings: readonly FeedHealth[],
  polls: UpstreamPolls,
  countable: (finding: FeedHealth) => boolean,
): UpstreamHealth {
  const counted = findings.filter(countable);
  return {
    ...summarize(counted, polls),
    unauthorized: counted.filter(isUnauthorized),
    others: summarize(
      counted.filter((finding) => !isUnauthorized(finding)),
      polls,
    ),
  };
}

function isUnauthorized({ held, polls, failingSince }: FeedHealth): boolean {
  if (failingSince === undefined) return held?.isRevoked === true;
  return polls?.lastError?.reason === "unauthorized";
}

function summarize(counted: readonly FeedHealth[], polls: UpstreamPolls): FeedsSummary {
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
    // Nothing may be held yet, and all that is asked for fail.
    const isFailing = counted.length === 0 && polls.failingSince !== undefined;
    const state = isFailing ? "failing" : polls.lastSuccessAt === undefined ? "unknown" : "ok";
    return {
      ...found,
      state,
      failingSince: isFailing ? polls.failingSince : undefined,
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

export function showUpstream(
  found: UpstreamHealth,
  polls: UpstreamPolls,
  { url, throughProxy, intervalMs, staleAfterMs }: UpstreamSettings,
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
  };
}

export function countByState(findings: readonly FeedHealth[]): Record<FeedState, number> {
  const counts = { fresh: 0, failing: 0, stale: 0, never_polled: 0 };
  for (const { state } of findings) counts[state]++;
  return counts;
}

export function* upstreamProblems({ unauthorized, others }: UpstreamHealth): Iterable<Problem> {
  const served = unauthorized.filter(({ held }) => held !== undefined);
  const servedKeys = new Set(served.map(({ feed }) => feed.sdkKey));
  const denied = unauthorized.filter(({ feed }) => !servedKeys.has(feed.sdkKey));
  yield* keyProblems(served, (keys) => `Upstream no longer accepts ${keys}: what is held is served on`);
  yield* keyProblems(denied, (keys) => `Upstream does not accept ${keys}: nothing to serve`);
  yield* otherProblems(others);
}

function* keyProblems(
  findings: readonly FeedHealth[],
  describe: (keys: string) => string,
): Iterable<Problem> {
  const keys = [...new Set(findings.map(({ feed }) => maskSdkKey(feed.sdkKey)))];
  if (keys.length === 0) return;
  const names = keys.slice(0, MAX_NAMED).join(", ") + (keys.length > MAX_NAMED ? ", ..." : "");
  const text = describe(keys.length === 1 ? `SDK key ${names}` : `${keys.length} SDK keys (${names})`);
  const since = toIsoOrNull(earliest(findings.map(({ failingSince }) => failingSince)));
  const detail = findings[0]?.polls?.lastError?.detail ?? null;
  yield { kind: "keys_unauthorized", severity: "warning", text, since, detail };
}

function* otherProblems(found: FeedsSummary): Iterable<Problem> {
  const { state, failing, stale, held, total, failingSince, lastError, staleSince } = found;
  const cause = causeOf(lastError?.reason ?? "");
  const detail = lastError?.detail ?? null;
  const common = { severity: "warning", since: toIsoOrNull(failingSince), detail } as const;
  if (stale > 0) {
    const which =
      stale === total ? "Serving stale specs" : `Serving stale specs of ${stale} of ${total} feeds`;
    const text = `${which}: ${failing > 0 ? cause : "upstream has not confirmed them lately"}`;
    yield { kind: "stale_feeds", ...common, text, since: toIsoOrNull(failingSince ?? staleSince) };
  } else if (state === "failing") {
    const text = held === 0 ? `Nothing to serve: ${cause}` : `What is held is still fresh, but ${cause}`;
    yield { kind: "upstream_failing", ...common, text };
  } else if (state === "partly_failing") {
    yield { kind: "feeds_failing", ...common, text: `Polls of ${failing} of ${total} feeds fail: ${cause}` };
  }
  if (found.delayed !== undefined) yield delayProblem(found.delayed);
}

function delayProblem({ since, waitedMs, intervalMs }: PollDelay): Problem {
  const text = "Polls wait longer for their turn than the polling interval: raise --update-batch-size (-u)";
  const detail = `a poll waited ${seconds(waitedMs)} s, the interval is ${seconds(intervalMs)} s`;
  return { kind: "polls_delayed", severity: "warning", text, since: toIsoOrNull(since), detail };
}

const seconds = (ms: number): number => Math.round(ms / 100) / 10;

function causeOf(reason: string): string {
  switch (reason) {
    case "unreachable":
      return "upstream unreachable";
    case "timeout":
      return "upstream does not answer in time";
    case "status":
      return "upstream answers with errors";
    case "too_large":
      return "upstream sends config specs that are larger than --max-payload-in-mb allows";
    case "in_future":
      return "upstream sends versions from the future";
    default:
      return "upstream sends what can't be used";
  }
}

function earliest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : known.reduce((a, b) => Math.min(a, b));
}
