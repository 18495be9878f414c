import { maskSdkKey } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Feed } from "../../specs/feed.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { HeldFeed, SpecStore } from "../../specs/store.ts";
import { toPathTag } from "../metrics/tags.ts";
import type { FeedPolls, PollMemory } from "../topics/specs.ts";
import type { Rates } from "./rates.ts";
import { ageSeconds, type FeedState, type FeedStatus, toIsoOrNull } from "./schema.ts";

interface FeedReadings {
  readonly store: Pick<SpecStore, "held" | "peek" | "allows" | "holds">;
  /** Shown also while nothing is held of them. */
  readonly preload: readonly Feed[];
  readonly polls: PollMemory;
  readonly rates: Rates;
  readonly clock: Clock;
  readonly staleAfterMs: number;
}

/** A feed, and how it is. */
export interface FeedHealth {
  readonly feed: Feed;
  readonly held: HeldFeed | undefined;
  readonly polls: FeedPolls | undefined;
  readonly state: FeedState;
  /** Undefined where the last poll did not fail. */
  readonly failingSince: number | undefined;
}

const MAX_SHOWN = 1_000;

/** Beyond so many, to know how often each is asked for takes too long. */
const MAX_RANKED_BY_REQUESTS = 10_000;

const GRAVITY: Readonly<Record<FeedState, number>> = { stale: 0, failing: 1, never_polled: 2, fresh: 3 };

export function findFeeds(readings: FeedReadings): readonly FeedHealth[] {
  const { store, preload } = readings;
  const missing = preload.filter((feed) => store.allows(feed.sdkKey) && store.peek(feed) === undefined);
  return [
    ...missing.map((feed) => findingOf(feed, undefined, readings)),
    ...[...store.held()].map((held) => findingOf(held.feed, held, readings)),
  ];
}

function findingOf(feed: Feed, held: HeldFeed | undefined, readings: FeedReadings): FeedHealth {
  const { clock, staleAfterMs } = readings;
  const polls = readings.polls.of(feed);
  const confirmedAgoMs = held?.confirmedAgoMs(clock);
  // In a fleet another relay may have asked since, with more luck.
  const isOver =
    clock.elapsed() - (confirmedAgoMs ?? Number.POSITIVE_INFINITY) > (polls?.lastErrorElapsed ?? 0);
  const failingSince = isOver ? undefined : polls?.failingSince;
  const isFailing = failingSince !== undefined;
  const finding = { feed, held, polls, failingSince };
  if (held === undefined) return { ...finding, state: isFailing ? "failing" : "never_polled" };
  if (confirmedAgoMs === undefined) {
    // From a backup, and nobody knows how old it is; nor does an upstream relay that was asked.
    return { ...finding, state: polls?.lastPoll === undefined ? "never_polled" : "stale" };
  }
  if (confirmedAgoMs > staleAfterMs) return { ...finding, state: "stale" };
  return { ...finding, state: isFailing ? "failing" : "fresh" };
}

/** What is shown of them, in the order of what needs looking at. */
export function showFeeds(findings: readonly FeedHealth[], readings: FeedReadings): readonly FeedStatus[] {
  return mostPressing(findings, readings).map((finding) => show(finding, readings));
}

function mostPressing(findings: readonly FeedHealth[], { rates }: FeedReadings): readonly FeedHealth[] {
  const knowsRates = findings.length <= MAX_RANKED_BY_REQUESTS;
  const ranked = findings.map((finding) => {
    const { feed, held, state } = finding;
    const rate = knowsRates ? (rates.of(maskSdkKey(feed.sdkKey), toPathTag(feed)) ?? 0) : 0;
    return { finding, gravity: GRAVITY[state], streams: held?.followers ?? 0, rate };
  });
  ranked.sort((a, b) => a.gravity - b.gravity || b.streams - a.streams || b.rate - a.rate);
  return ranked.slice(0, MAX_SHOWN).map(({ finding }) => finding);
}

function show({ feed, held, polls, state, failingSince }: FeedHealth, readings: FeedReadings): FeedStatus {
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
    last_error: polls?.lastError ?? null,
    failing_since: toIsoOrNull(failingSince),
    bytes: snapshot === undefined ? null : sizesOf(snapshot),
    streams: held?.followers ?? 0,
    requests_per_s: rates.of(maskedKey, toPathTag(feed)) ?? null,
  };
}

function sizesOf({ format, bytes, compressed }: Snapshot): NonNullable<FeedStatus["bytes"]> {
  if (format === "proto") return { "statsig-br": bytes.length };
  const coded = Object.entries(compressed).map(([coding, { length }]) => [coding, length] as const);
  return { identity: bytes.length, ...Object.fromEntries(coded) };
}
