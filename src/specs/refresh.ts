import { MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import { type Clock, type Instant, takeInstant } from "../platform/clock.ts";
import type { Spacing } from "../platform/spacing.ts";
import type { BackupWriter } from "./backup-writer.ts";
import { ContentChanges } from "./content-changes.ts";
import { type Decision, decide, type FetchResult, type KeepResult, type RefreshPolicy } from "./decide.ts";
import type { KnownVersions } from "./deltas/compute.ts";
import type { DeltaRequests } from "./deltas/delta-requests.ts";
import type { EmitSpecEvent } from "./events.ts";
import { type Feed, feedId } from "./feed.ts";
import type { SpecPreparer } from "./payload/preparer.ts";
import type { VersionGate } from "./pins/version-gate.ts";
import { PollDelays } from "./poll-delays.ts";
import { type RefreshPriority, type RequestSlot, RequestSlots } from "./request-slots.ts";
import type { PreparedPayload, Snapshot } from "./snapshot.ts";
import type { FetchOutcome, RelayedOrigin, SpecSource } from "./source.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

/** The result of a refresh. Ask the store whether the feed is held now. */
export type RefreshOutcome =
  | { readonly kind: "fresh" }
  | { readonly kind: "unauthorized" }
  | { readonly kind: "failed"; readonly retryAfterMs: number | undefined; readonly reason?: FailureReason }
  /** The relay holds the maximum number of SDK keys, and all of them are in use. */
  | { readonly kind: "full" };

/** What went wrong with a request to upstream, as the log shows it. */
interface FailureReason {
  readonly cause: string;
  readonly detail: string;
}

/** What a refresh needs of the backup: it gets each version before clients do, and drops rejected keys. */
export type RefreshBackup = Pick<BackupWriter, "writeAhead" | "remove">;

interface SpecRefresherOptions {
  readonly source: SpecSource;
  readonly preparer: SpecPreparer;
  /** Finds what is known of earlier versions, for the deltas of a new one. Never rejects. */
  readonly findKnown?: (feed: Feed) => Promise<KnownVersions | undefined>;
  /** If undefined, upstream is not asked for deltas. */
  readonly deltas?: DeltaRequests | undefined;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly policy: RefreshPolicy;
  readonly maxInFlight: number;
  /** Minimum time between the starts of two polls. */
  readonly spacing?: Spacing;
  /** Returns the current polling interval. */
  readonly intervalMs: () => number;
  readonly maxKeys: number;
  readonly emit: EmitSpecEvent;
  readonly backup?: RefreshBackup | undefined;
  /** Holds back new versions of pinned keys. If undefined, no key is pinned. */
  readonly gate?: VersionGate | undefined;
  /** Cancels requests to upstream on shutdown. */
  readonly signal: AbortSignal;
}

/** Limit of requests that wait for a slot. Each is for a feed that is not held yet, or a poll that is due. */
const MAX_WAITING = 20_000;

const OVERLOADED: RefreshOutcome = { kind: "failed", retryAfterMs: 1_000 };

const NOT_ALLOWED: RefreshOutcome = { kind: "unauthorized" };

/** The feed was removed while it was refreshed. */
export const DROPPED: RefreshOutcome = { kind: "failed", retryAfterMs: undefined };

/** What the response to a request says about time and origin. */
interface Origin {
  readonly startedAt: number;
  /** When Statsig was known to have nothing newer; undefined if that is not known. */
  readonly confirmed: Instant | undefined;
  readonly relayed: RelayedOrigin | undefined;
  readonly contentEncoding: string | undefined;
  readonly deltaBytes: number | undefined;
  /** The endpoint that sent the payload, if there are several. */
  readonly host: string | undefined;
}

interface InFlight {
  outcome: Promise<RefreshOutcome>;
  /** True if a client waits for the outcome. */
  isWanted: boolean;
}

/** Brings a feed up to date: requests it from upstream, checks, decides, publishes. One request at a time for each feed. */
export class SpecRefresher {
  readonly #options: SpecRefresherOptions;
  readonly #slots: RequestSlots;
  readonly #pollDelays: PollDelays;
  readonly #contents: ContentChanges;
  readonly #inFlight = new Map<string, InFlight>();

  constructor(options: SpecRefresherOptions) {
    this.#options = options;
    this.#slots = new RequestSlots({
      clock: options.clock,
      max: options.maxInFlight,
      spacing: options.spacing,
    });
    this.#pollDelays = new PollDelays(options);
    this.#contents = new ContentChanges(options.store, options.clock);
  }

  /**
   * Sends one request to upstream for all concurrent calls for a feed. `afresh` is a poll whose request starts after the call.
   * Rejects only on shutdown.
   */
  async refresh(feed: Feed, priority: RefreshPriority | "afresh"): Promise<RefreshOutcome> {
    if (priority !== "afresh") return this.#refresh(feed, priority);
    // Upstream may have answered the request in flight before it had the change. If that one fails, this one shows it.
    await this.#inFlight.get(feedId(feed))?.outcome.catch(() => undefined);
    return this.#refresh(feed, "poll");
  }

  #refresh(feed: Feed, priority: RefreshPriority): Promise<RefreshOutcome> {
    const id = feedId(feed);
    const inFlight = this.#inFlight.get(id);
    if (inFlight !== undefined) return this.#join(inFlight, id, priority);
    if (this.#slots.waiting >= MAX_WAITING) return Promise.resolve(OVERLOADED);
    const started: InFlight = { isWanted: priority === "cache_miss", outcome: Promise.resolve(OVERLOADED) };
    started.outcome = this.#refreshInSlot(feed, started, priority).finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, started);
    return started.outcome;
  }

  #join(inFlight: InFlight, id: string, priority: RefreshPriority): Promise<RefreshOutcome> {
    if (priority === "cache_miss" && !inFlight.isWanted) {
      inFlight.isWanted = true;
      this.#slots.prioritize(id);
    }
    return inFlight.outcome;
  }

  async #refreshInSlot(feed: Feed, inFlight: InFlight, priority: RefreshPriority): Promise<RefreshOutcome> {
    using slot = await this.#slots.take(feedId(feed), priority);
    // A suspect waits because its last request hung; a larger --max-in-flight would not help it.
    if (priority === "poll" && !slot.isSuspect) this.#pollDelays.began(slot.waitedMs);
    return await this.#refreshNow(feed, inFlight, slot);
  }

  async #refreshNow(feed: Feed, inFlight: InFlight, slot: RequestSlot): Promise<RefreshOutcome> {
    const { source, store, clock, deltas, emit, gate, signal } = this.#options;
    const startedAt = clock.now();
    const before = store.peek(feed);
    const named = this.#contents.toRequest(before, gate);
    const known = deltas?.offer(named, before) ?? named;
    // A download may take minutes, so a confirmation dates from the start of the request.
    const requestedAt = takeInstant(clock);
    const outcome = await slot.watch((progressed) => source.fetchSpecs(feed, known, signal, progressed));
    const relayed = "relayed" in outcome ? outcome.relayed : undefined;
    const confirmed = relayed === undefined ? requestedAt : relayed.confirmed;
    const origin = { startedAt, confirmed, relayed, ...describeBody(outcome) };
    const result = await this.#prepare(feed, outcome);
    if (before?.ended === "evicted" && store.peek(feed) === undefined) {
      // The feed was evicted while we fetched it: a poll must not re-create it.
      return inFlight.isWanted ? this.#refreshNow(feed, inFlight, slot) : DROPPED;
    }
    // The key was taken off the allow-list during the request. The backup must not get the version either.
    if (!store.allows(feed.sdkKey)) return NOT_ALLOWED;
    const problem = findDeltaProblem(outcome, result);
    if (problem !== undefined && before !== undefined && before.ended === undefined) {
      deltas?.pause(before);
      emit({ kind: "spec_delta_refused", feed, detail: problem });
      return this.#refreshNow(feed, inFlight, slot);
    }
    const decision = this.#decide(feed, result);
    if (decision.kind === "keep" && decision.result.kind === "refused" && outcome.kind === "payload") {
      const { reason, detail } = decision.result;
      if (outcome.refuse?.(reason, detail)) return this.#refreshNow(feed, inFlight, slot);
      // One of several endpoints may be behind another for a while.
      if (outcome.refuse !== undefined && reason === "older")
        return this.#apply(feed, { kind: "confirm" }, { ...origin, confirmed: undefined });
    }
    if (decision.kind !== "publish") return this.#apply(feed, decision, origin);
    // A client that waits wants the feed even if it was evicted meanwhile.
    return this.#publish(feed, decision.payload, origin, () => (inFlight.isWanted ? undefined : before));
  }

  async #prepare(feed: Feed, outcome: FetchOutcome): Promise<FetchResult> {
    if (outcome.kind !== "payload") return outcome;
    const { preparer, findKnown } = this.#options;
    try {
      return await preparer.prepare(outcome.raw, await findKnown?.(feed));
    } catch (error) {
      return {
        kind: "failed",
        cause: "broken",
        detail: `the payload could not be checked: ${String(error)}`,
      };
    }
  }

  #decide(feed: Feed, result: FetchResult): Decision {
    const { store, policy, gate } = this.#options;
    const held = store.peek(feed)?.snapshot;
    const decision = decide(result, held && (gate?.newest(held) ?? held), policy);
    const mustWait = decision.kind === "publish" && this.#contents.mustWait(feed, decision.payload);
    return mustWait ? { kind: "confirm" } : decision;
  }

  #apply(
    feed: Feed,
    decision: Exclude<Decision, { kind: "publish" }>,
    { startedAt, confirmed }: Origin,
  ): RefreshOutcome {
    const { store, clock, emit, backup } = this.#options;
    const held = store.peek(feed);
    const wasHeld = held !== undefined;
    const tookMs = clock.now() - startedAt;
    switch (decision.kind) {
      case "confirm":
        store.confirm(feed, confirmed);
        emit({ kind: "spec_unchanged", feed, lcut: held?.snapshot.lcut ?? 0, tookMs });
        return { kind: "fresh" };
      case "forget": {
        const { status, removeFromBackup } = decision;
        store.remove(feed, "unauthorized");
        if (removeFromBackup) backup?.remove(feed, { wasHeld });
        const whatIsHeld = wasHeld ? "cleared" : "denied";
        emit({ kind: "spec_unauthorized", feed, status, tookMs, whatIsHeld });
        return { kind: "unauthorized" };
      }
      case "keep":
        return this.#keep(feed, decision.result, { held: wasHeld, tookMs });
    }
  }

  async #publish(
    feed: Feed,
    payload: PreparedPayload,
    { startedAt, confirmed, relayed, contentEncoding, deltaBytes, host }: Origin,
    after: () => HeldFeed | undefined,
  ): Promise<RefreshOutcome> {
    const { store, clock, emit, maxKeys, backup, gate } = this.#options;
    const received = (await gate?.receive(feed, payload)) ?? { kind: "publish", payload };
    if (received.kind === "held_back") return this.#heldBack(feed, payload, { startedAt, confirmed });
    const snapshot: Snapshot = {
      ...received.payload,
      feed,
      source: "upstream",
      relayedSource: relayed?.source,
      ...(host !== undefined && { sourceHost: host }),
      receivedAt: clock.now(),
    };
    await backup?.writeAhead(snapshot);
    const previousLcut = store.peek(feed)?.snapshot.lcut;
    switch (store.publish(snapshot, { confirmed, after: after(), replacesContent: true })) {
      case "published":
        emit({
          kind: "spec_updated",
          snapshot,
          previousLcut,
          contentEncoding,
          deltaBytes,
          tookMs: clock.now() - startedAt,
        });
        return { kind: "fresh" };
      case "held_back":
        return this.#heldBack(feed, payload, { startedAt, confirmed });
      case "not_newer":
        // Meanwhile the backup delivered this version, or a newer one, from a relay that asked upstream later.
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

  /** Upstream has responded, so that the served version counts as confirmed. */
  #heldBack(
    feed: Feed,
    { lcut }: PreparedPayload,
    origin: Pick<Origin, "startedAt" | "confirmed">,
  ): RefreshOutcome {
    const { store, clock, emit } = this.#options;
    const servedLcut = store.peek(feed)?.snapshot.lcut ?? 0;
    store.confirm(feed, origin.confirmed);
    emit({ kind: "spec_held_back", feed, lcut, servedLcut, tookMs: clock.now() - origin.startedAt });
    return { kind: "fresh" };
  }

  #keep(
    feed: Feed,
    result: KeepResult,
    request: { readonly held: boolean; readonly tookMs: number },
  ): RefreshOutcome {
    const { emit, store, clock } = this.#options;
    switch (result.kind) {
      case "unauthorized": {
        const { status } = result;
        store.peek(feed)?.revoke(clock);
        emit({ kind: "spec_unauthorized", feed, status, whatIsHeld: "kept", tookMs: request.tookMs });
        return { kind: "unauthorized" };
      }
      case "refused": {
        const { reason, detail } = result;
        emit({ kind: "spec_refused", feed, reason, detail, ...request });
        return { kind: "failed", retryAfterMs: undefined, reason: { cause: `refused: ${reason}`, detail } };
      }
      case "failed": {
        const { cause, status, detail } = result;
        emit({ kind: "spec_fetch_failed", feed, cause, status, detail, ...request });
        const retryAfterMs = this.#limitRetryAfter(result.retryAfterMs);
        return { kind: "failed", retryAfterMs, reason: { cause, detail } };
      }
    }
  }

  #limitRetryAfter(ms: number | undefined): number | undefined {
    return ms && Math.min(ms, Math.max(MAX_RETRY_DELAY_MS, this.#options.intervalMs()));
  }
}

function describeBody(outcome: FetchOutcome): Pick<Origin, "contentEncoding" | "deltaBytes" | "host"> {
  if (outcome.kind !== "payload")
    return { contentEncoding: undefined, deltaBytes: undefined, host: undefined };
  const { contentEncoding, delta, body } = outcome.raw;
  return { contentEncoding, deltaBytes: delta && body.length, host: outcome.host };
}

/** Returns why the whole version must be requested: upstream sent a delta, or part of a version, that is useless. */
function findDeltaProblem(outcome: FetchOutcome, result: FetchResult): string | undefined {
  if (outcome.kind !== "payload" || (result.kind !== "refused" && result.kind !== "failed")) return undefined;
  const { delta, mustBeWhole = false } = outcome.raw;
  const isPart = mustBeWhole && result.kind === "refused" && result.reason === "delta";
  return delta !== undefined || isPart ? result.detail : undefined;
}
