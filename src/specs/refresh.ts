import { MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import { type Clock, type Instant, takeInstant } from "../platform/clock.ts";
import type { EmitSpecEvent } from "./events.ts";
import { type Feed, feedId } from "./feed.ts";
import type { RefusalReason } from "./payload/payload.ts";
import type { SpecPreparer } from "./payload/preparer.ts";
import { PollWaits, type RefreshPriority, type RequestSlot, RequestSlots } from "./request-slots.ts";
import type { PreparedPayload, Snapshot } from "./snapshot.ts";
import type { FetchFailure, FetchOutcome, RelayedOrigin, SpecSource } from "./source.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

/** What a refresh came to. Whether the feed is held now, the store tells. */
export type RefreshOutcome =
  | { readonly kind: "fresh" }
  | { readonly kind: "unauthorized" }
  | { readonly kind: "failed"; readonly retryAfterMs: number | undefined }
  /** The relay holds as many keys as it may, all of them in use. */
  | { readonly kind: "full" };

export type { RefreshPriority };

export interface SpecRefresherOptions {
  readonly source: SpecSource;
  readonly preparer: SpecPreparer;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly policy: RefreshPolicy;
  readonly maxInFlight: number;
  /** The polling interval as it is now. */
  readonly intervalMs: () => number;
  readonly maxKeys: number;
  readonly emit: EmitSpecEvent;
  /** Called before a version is served; what it resolves with, and when, is for the backup to bound. */
  readonly keepFirst: (snapshot: Snapshot) => Promise<void>;
  /** The key is not, or no longer, valid. */
  readonly onForget: (feed: Feed, forgotten: { readonly wasHeld: boolean }) => void;
  /** Ends requests to upstream on shutdown. */
  readonly signal: AbortSignal;
}

/** Requests that may wait for a place; each is a feed that nobody holds yet, or a poll that is due. */
const MAX_WAITING = 20_000;

const OVERLOADED: RefreshOutcome = { kind: "failed", retryAfterMs: 1_000 };

const NOT_ALLOWED: RefreshOutcome = { kind: "unauthorized" };

/** The feed has ended meanwhile. */
export const DROPPED: RefreshOutcome = { kind: "failed", retryAfterMs: undefined };

/** A request to upstream that was answered. */
interface Answered {
  readonly startedAt: number;
  /** When Statsig was known to have nothing newer; undefined if nobody knows. */
  readonly confirmed: Instant | undefined;
  readonly relayed: RelayedOrigin | undefined;
}

interface Underway {
  outcome: Promise<RefreshOutcome>;
  /** A client waits for it. */
  isWanted: boolean;
}

/** Brings a feed up to date: asks upstream, checks, decides, publishes. One at a time for each feed. */
export class SpecRefresher {
  readonly #options: SpecRefresherOptions;
  readonly #slots: RequestSlots;
  readonly #pollWaits: PollWaits;
  readonly #underway = new Map<string, Underway>();

  constructor(options: SpecRefresherOptions) {
    this.#options = options;
    this.#slots = new RequestSlots({ clock: options.clock, max: options.maxInFlight });
    this.#pollWaits = new PollWaits(options);
  }

  /** However many ask for the same feed at the same moment, upstream is asked once. Rejects only on shutdown. */
  refresh(feed: Feed, priority: RefreshPriority): Promise<RefreshOutcome> {
    const id = feedId(feed);
    const underway = this.#underway.get(id);
    if (underway !== undefined) return this.#join(underway, id, priority);
    if (this.#slots.waiting >= MAX_WAITING) return Promise.resolve(OVERLOADED);
    const begun: Underway = { isWanted: priority === "cache_miss", outcome: Promise.resolve(OVERLOADED) };
    begun.outcome = this.#refreshInTurn(feed, begun, priority).finally(() => this.#underway.delete(id));
    this.#underway.set(id, begun);
    return begun.outcome;
  }

  #join(underway: Underway, id: string, priority: RefreshPriority): Promise<RefreshOutcome> {
    if (priority === "cache_miss" && !underway.isWanted) {
      underway.isWanted = true;
      this.#slots.hurry(id);
    }
    return underway.outcome;
  }

  async #refreshInTurn(feed: Feed, underway: Underway, priority: RefreshPriority): Promise<RefreshOutcome> {
    using slot = await this.#slots.take(feedId(feed), priority);
    // A suspect waits since it hung, which no larger `-u` would change.
    if (priority === "poll" && !slot.isSuspect) this.#pollWaits.began(slot.waitedMs);
    return await this.#refreshNow(feed, underway, slot);
  }

  async #refreshNow(feed: Feed, underway: Underway, slot: RequestSlot): Promise<RefreshOutcome> {
    const { source, store, clock, policy, signal } = this.#options;
    const startedAt = clock.now();
    const asked = store.peek(feed);
    const sinceTime = asked?.snapshot.lcut ?? 0;
    // A download may take minutes: what upstream says is as old as the request.
    const askedAt = takeInstant(clock);
    const outcome = await slot.watch((progressed) => source.fetchSpecs(feed, sinceTime, signal, progressed));
    const relayed = "relayed" in outcome ? outcome.relayed : undefined;
    const confirmed = relayed === undefined ? askedAt : relayed.confirmed;
    const answered = { startedAt, confirmed, relayed };
    const finding = await this.#lookInto(outcome);
    if (asked?.ended === "evicted" && store.peek(feed) === undefined) {
      // The answer is to what is gone: a poll must not bring a key back that had to make room.
      return underway.isWanted ? this.#refreshNow(feed, underway, slot) : DROPPED;
    }
    // It went from the list while upstream was asked. A backup must not get it either.
    if (!store.allows(feed.sdkKey)) return NOT_ALLOWED;
    const decision = decide(finding, store.peek(feed)?.snapshot, policy);
    if (decision.kind !== "publish") return this.#apply(feed, decision, answered);
    // A client wants it whether or not it was held.
    return this.#publish(feed, decision.payload, answered, () => (underway.isWanted ? undefined : asked));
  }

  async #lookInto(outcome: FetchOutcome): Promise<FetchResult> {
    if (outcome.kind !== "payload") return outcome;
    try {
      return await this.#options.preparer.prepare(outcome.raw);
    } catch (error) {
      return {
        kind: "failed",
        cause: "broken",
        detail: `the payload could not be checked: ${String(error)}`,
      };
    }
  }

  #apply(
    feed: Feed,
    decision: Exclude<Decision, { kind: "publish" }>,
    { startedAt, confirmed }: Answered,
  ): RefreshOutcome {
    const { store, clock, emit } = this.#options;
    const held = store.peek(feed);
    const tookMs = clock.now() - startedAt;
    switch (decision.kind) {
      case "confirm":
        store.confirm(feed, confirmed);
        emit({ kind: "spec_unchanged", feed, lcut: held?.snapshot.lcut ?? 0, tookMs });
        return { kind: "fresh" };
      case "forget":
        store.remove(feed, "unauthorized");
        this.#options.onForget(feed, { wasHeld: held !== undefined });
        emit({
          kind: "spec_unauthorized",
          feed,
          status: decision.status,
          tookMs,
          whatIsHeld: held === undefined ? "denied" : "cleared",
        });
        return { kind: "unauthorized" };
      case "keep":
        return this.#keep(feed, decision.finding, { held: held !== undefined, tookMs });
    }
  }

  async #publish(
    feed: Feed,
    payload: PreparedPayload,
    { startedAt, confirmed, relayed }: Answered,
    after: () => HeldFeed | undefined,
  ): Promise<RefreshOutcome> {
    const { store, clock, emit, maxKeys, keepFirst } = this.#options;
    const snapshot: Snapshot = {
      ...payload,
      feed,
      source: "upstream",
      relayedSource: relayed?.source,
      receivedAt: clock.now(),
    };
    await keepFirst(snapshot);
    const previousLcut = store.peek(feed)?.snapshot.lcut;
    switch (store.publish(snapshot, { confirmed, after: after() })) {
      case "published":
        emit({ kind: "spec_updated", snapshot, previousLcut, tookMs: clock.now() - startedAt });
        return { kind: "fresh" };
      case "not_newer":
        // The backup had a newer one meanwhile, of a relay that asked later.
        return { kind: "fresh" };
      case "not_allowed":
        return NOT_ALLOWED;
      case "ended":
        return DROPPED;
      case "full":
        emit({ kind: "spec_not_held", feed, maxKeys });
        return { kind: "full" };
    }
  }

  #keep(
    feed: Feed,
    finding: Extract<Decision, { kind: "keep" }>["finding"],
    asked: { readonly held: boolean; readonly tookMs: number },
  ): RefreshOutcome {
    const { emit, store, clock } = this.#options;
    switch (finding.kind) {
      case "unauthorized":
        store.peek(feed)?.revoke(clock);
        emit({
          kind: "spec_unauthorized",
          feed,
          status: finding.status,
          whatIsHeld: "kept",
          tookMs: asked.tookMs,
        });
        return { kind: "unauthorized" };
      case "refused":
        emit({ kind: "spec_refused", feed, reason: finding.reason, detail: finding.detail, ...asked });
        return { kind: "failed", retryAfterMs: undefined };
      case "failed":
        emit({ kind: "spec_fetch_failed", feed, cause: finding.cause, detail: finding.detail, ...asked });
        return { kind: "failed", retryAfterMs: this.#boundedRetryAfter(finding.retryAfterMs) };
    }
  }

  #boundedRetryAfter(ms: number | undefined): number | undefined {
    return ms && Math.min(ms, Math.max(MAX_RETRY_DELAY_MS, this.#options.intervalMs()));
  }
}

/** What one request to upstream came to, after the payload was looked into. */
export type FetchResult =
  | { readonly kind: "prepared"; readonly payload: PreparedPayload }
  | { readonly kind: "no_update" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

interface RefreshPolicy {
  /** Drop what is held when upstream says 401 or 403. Else it is served on: last known good. */
  readonly clearOnUnauthorized: boolean;
}

type Decision =
  /** Serve this version from now on. */
  | { readonly kind: "publish"; readonly payload: PreparedPayload }
  /** What is held is the newest. */
  | { readonly kind: "confirm" }
  /** Change nothing; the finding says why there is nothing new. */
  | { readonly kind: "keep"; readonly finding: Exclude<FetchResult, { kind: "prepared" | "no_update" }> }
  /** The key is not, or no longer, valid: hold nothing for it. */
  | { readonly kind: "forget"; readonly status: number };

/** What to do about a finding, given what is held. Last known good: only `forget` takes anything away. */
export function decide(finding: FetchResult, held: Snapshot | undefined, policy: RefreshPolicy): Decision {
  switch (finding.kind) {
    case "prepared":
      return decidePayload(finding.payload, held);
    case "no_update":
      if (held !== undefined) return { kind: "confirm" };
      return keepBroken("upstream has no update for a first request");
    case "unauthorized":
      if (held !== undefined && !policy.clearOnUnauthorized) return { kind: "keep", finding };
      return { kind: "forget", status: finding.status };
    case "refused":
    case "failed":
      return { kind: "keep", finding };
  }
}

function decidePayload(payload: PreparedPayload, held: Snapshot | undefined): Decision {
  if (held === undefined || payload.lcut > held.lcut) return { kind: "publish", payload };
  if (payload.lcut === held.lcut) return { kind: "confirm" };
  const detail = `upstream sent lcut ${payload.lcut}, older than ${held.lcut}, which is held`;
  return { kind: "keep", finding: { kind: "refused", reason: "older", detail } };
}

function keepBroken(detail: string): Decision {
  return { kind: "keep", finding: { kind: "failed", cause: "broken", detail } };
}
