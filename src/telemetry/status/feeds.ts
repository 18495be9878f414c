import { maskSdkKey } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Feed } from "../../specs/feed.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { HeldFeed, SpecStore } from "../../specs/store.ts";
import { toPathTag } from "../metrics/tags.ts";
import type { OversizedFeeds } from "./oversized-feeds.ts";
import type { FeedPolls, PollStatus } from "./polls.ts";
import type { Rates } from "./rates.ts";
import { ageSeconds, type FeedState, type FeedStatus, toIsoOrNull } from "./schema.ts";

interface FeedReadings {
  readonly store: Pick<SpecStore, "held" | "peek" | "allows" | "holds">;
  /** Feeds that are shown even while they are not cached. */
  readonly preload: readonly Feed[];
  readonly polls: PollStatus;
  readonly rates: Rates;
  readonly oversized: Pick<OversizedFeeds, "find">;
  readonly clock: Clock;
  readonly staleAfterMs: number;
  /** Returns the relay of the fleet that last claimed a feed. */
  readonly claimant: (feed: Feed) => string | undefined;
}

/** A feed that is cached or preloaded, and its state. */
export interface FeedHealth {
  readonly feed: Feed;
  readonly held: HeldFeed | undefined;
  readonly polls: FeedPolls | undefined;
  readonly state: FeedState;
  /** Since when gRPC clients are refused for its size. Ms since the Unix epoch. */
  readonly oversizedSince: number | undefined;
  /** Ms since the Unix epoch; undefined if the last poll did not fail. */
  readonly failingSince: number | undefined;
}

const MAX_SHOWN = 1_000;

/** If there are more feeds, they are not sorted by requests: looking up their rates takes too long. */
const MAX_RANKED_BY_REQUESTS = 10_000;

/** Feeds with a lower number are shown first. */
const RANK: Readonly<Record<FeedState, number>> = { stale: 0, failing: 1, never_polled: 2, fresh: 3 };

export function findFeeds(readings: FeedReadings): readonly FeedHealth[] {
  const { store, preload } = readings;
  const missing = preload.filter((feed) => store.allows(feed.sdkKey) && store.peek(feed) === undefined);
  return [
    ...missing.map((feed) => checkFeed(feed, undefined, readings)),
    ...[...store.held()].map((held) => checkFeed(held.feed, held, readings)),
  ];
}

function checkFeed(feed: Feed, held: HeldFeed | undefined, readings: FeedReadings): FeedHealth {
  const { clock, staleAfterMs } = readings;
  const polls = readings.polls.find(feed);
  const confirmedAgoMs = held?.confirmedAgoMs(clock);
  // In a fleet, another relay may have confirmed the feed since the poll of this one failed.
  const isConfirmedSince =
    clock.elapsed() - (confirmedAgoMs ?? Number.POSITIVE_INFINITY) > (polls?.lastErrorElapsed ?? 0);
  const failingSince = isConfirmedSince ? undefined : polls?.failingSince;
  const isFailing = failingSince !== undefined;
  const oversizedSince = readings.oversized.find(feed)?.since;
  const health = { feed, held, polls, failingSince, oversizedSince };
  if (held === undefined) return { ...health, state: isFailing ? "failing" : "never_polled" };
  if (confirmedAgoMs === undefined) {
    // It is from a backup, and neither a poll nor an upstream relay has said how old it is.
    return { ...health, state: polls?.lastPoll === undefined ? "never_polled" : "stale" };
  }
  if (confirmedAgoMs > staleAfterMs) return { ...health, state: "stale" };
  return { ...health, state: isFailing ? "failing" : "fresh" };
}

/** Returns at most 1,000 feeds, those that need attention first. */
export function formatFeeds(feeds: readonly FeedHealth[], readings: FeedReadings): readonly FeedStatus[] {
  return sortByUrgency(feeds, readings).map((health) => formatFeed(health, readings));
}

function sortByUrgency(feeds: readonly FeedHealth[], { rates }: FeedReadings): readonly FeedHealth[] {
  const knowsRates = feeds.length <= MAX_RANKED_BY_REQUESTS;
  const ranked = feeds.map((health) => {
    const { feed, held, state, oversizedSince } = health;
    const rate = knowsRates ? (rates.find(maskSdkKey(feed.sdkKey), toPathTag(feed)) ?? 0) : 0;
    const urgency = Math.min(
      RANK[state],
      oversizedSince === undefined ? Number.POSITIVE_INFINITY : RANK.failing,
    );
    return { health, urgency, streams: held?.followers ?? 0, rate };
  });
  ranked.sort((a, b) => a.urgency - b.urgency || b.streams - a.streams || b.rate - a.rate);
  return ranked.slice(0, MAX_SHOWN).map(({ health }) => health);
}

function formatFeed(
  { feed, held, polls, state, failingSince, oversizedSince }: FeedHealth,
  readings: FeedReadings,
): FeedStatus {
  const { rates, clock } = readings;
  const snapshot = held?.snapshot;
  const maskedKey = maskSdkKey(feed.sdkKey);
  return {
    sdk_key: maskedKey,
    version: feed.version,
    format: feed.format,
    state,
    preloaded: readings.polls.isPreloaded(feed),
    lcut: snapshot?.lcut ?? null,
    lcut_at: toIsoOrNull(snapshot?.lcut),
    lcut_age_s: snapshot === undefined ? null : ageSeconds(clock.now(), snapshot.lcut),
    source: snapshot?.source ?? null,
    received_at: toIsoOrNull(snapshot?.receivedAt),
    confirmed_at: toIsoOrNull(held?.confirmedAt),
    last_poll: polls?.lastPoll ?? null,
    claimed_by: readings.claimant(feed) ?? null,
    last_error: polls?.lastError ?? null,
    failing_since: toIsoOrNull(failingSince),
    bytes: snapshot === undefined ? null : measureSizes(snapshot),
    streams: held?.followers ?? 0,
    too_large_for_grpc_since: toIsoOrNull(oversizedSince),
    requests_per_s: rates.find(maskedKey, toPathTag(feed)) ?? null,
  };
}

function measureSizes({ format, bytes, compressed }: Snapshot): NonNullable<FeedStatus["bytes"]> {
  if (format === "proto") return { "statsig-br": bytes.length };
  const coded = Object.entries(compressed).map(([coding, { length }]) => [coding, length] as const);
  return { identity: bytes.length, ...Object.fromEntries(coded) };
}
