import { withTimeout } from "../platform/abort.ts";
import { type Clock, takeInstant } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { VersionId } from "./deltas/delta.ts";
import type { EmitSpecEvent } from "./events.ts";
import type { Feed } from "./feed.ts";
import { isInFuture } from "./payload/payload.ts";
import type { SpecRecovery } from "./recovery.ts";
import { isOtherContent, type Snapshot } from "./snapshot.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

/** What a relay asks about a feed that is due for it. Times are in ms. */
export interface Look {
  /** If the last confirmation is older than this, upstream has to be asked. */
  readonly freshForMs: number;
  /** A claim that is older than this has lapsed. */
  readonly claimedForMs: number;
}

/** Upstream responded to a relay of the fleet that it has nothing newer than `lcut`. */
export interface Confirmation {
  readonly lcut: number;
  /** How long ago upstream responded. */
  readonly ageMs: number;
  /** How long ago Statsig was known to have nothing newer; undefined if upstream is a relay that does not know. */
  readonly confirmedAgoMs: number | undefined;
}

/** Which relay asks upstream now. Times are durations, because the clocks of the relays may differ. */
export type Turn =
  /** No relay asks: the last confirmation is fresh. */
  | { readonly kind: "confirmed" }
  /** Another relay has claimed the feed `ageMs` ago. Its claim lapses in `leftMs`. */
  | {
      readonly kind: "claimed";
      readonly ageMs: number;
      readonly leftMs: number;
      /** Upstream responded to the other relay that the SDK key is not valid. */
      readonly isRefused: boolean;
    }
  /** The relay that looked, which holds the claim from now on. */
  | { readonly kind: "ours" };

export interface Seen {
  readonly turn: Turn;
  /** The last confirmation, however old; undefined if none is known. Always defined with the turn `confirmed`. */
  readonly last: Confirmation | undefined;
}

/** How the relays of a fleet share what they know. Every method rejects if the channel fails at the moment. */
export interface FleetChannel {
  /** Reads what is known of a feed and claims it if it is due, atomically: of concurrent relays, only one gets the claim. */
  look(feed: Feed, look: Look): Promise<Seen>;
  confirm(feed: Feed, confirmation: Confirmation): Promise<void>;
  /** Marks the claim: upstream says that the SDK key is not valid. */
  refuse(feed: Feed, claimedForMs: number): Promise<void>;
  /** Keeps all relays from asking upstream for `ms`. */
  holdOff(feed: Feed, ms: number): Promise<void>;
  /**
   * Notifies all relays at once that the backup has a new version. It has a checksum if relays may hold another content with its
   * lcut, and an empty one otherwise.
   */
  announce(feed: Feed, version: VersionId): Promise<void>;
  /** `topic` is {@link toTopic} of the feed: SDK keys are not published. */
  onAnnounced(listener: (topic: string, version: VersionId) => void): void;
  toTopic(feed: Feed): string;
}

/** How the backup stored a held version. */
export interface Written {
  /** Whether the backup did not have the version before. */
  readonly isNew: boolean;
  /** Whether the backup had another content with this lcut. */
  readonly replacedContent: boolean;
}

interface FleetOptions {
  readonly channel: FleetChannel;
  readonly store: SpecStore;
  readonly recovery: SpecRecovery;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
  readonly emit: EmitSpecEvent;
  readonly clearOnUnauthorized: boolean;
  /** Ends waiting on shutdown. */
  readonly signal: AbortSignal;
}

// Fractions of the polling interval of this relay. The relay that confirmed or claimed may have another interval.

/** Below 1, because polls come up to a tenth early; close to 1, so that upstream is asked about once per interval. */
const FRESH = 0.95;
const CLAIMED = 0.9;
/** For a relay whose last request failed: relays that reach upstream keep confirming. */
const FRESH_AFTER_FAILURE = 1.2;
/** A relay whose request failed within the last `withinIntervals` yields to the others by `later` of an interval. */
const LATER_AFTER_FAILURE = [
  { withinIntervals: 1.5, later: 0.05 },
  { withinIntervals: 3, later: 0.025 },
] as const;
/** Random share of a delay, so that relays do not look at the same time. */
const SPREAD = 0.1;
const SPREAD_AFTER_CLAIM = 0.025;
/** A relay that waits for another one looks this long after the claim, and again when it lapses. New versions are announced. */
const EARLY = [0.1, 0.4] as const;
const SPREAD_EARLY = 0.05;
/** If the backup lacks a confirmed version, this is how long the relay waits for it before it asks upstream itself. */
const MISSING = 0.5;

/** Longest validity of a claim: requests are shorter, so a relay that claimed earlier has died or cannot reach upstream. */
const MAX_CLAIMED_MS = 60_000;

/** A channel that does not respond within this time has failed. */
const CHANNEL_TIMEOUT_MS = 1_000;

/** How long a client with a cache miss waits at least for another relay that is asking upstream, and how often it looks. */
const MISS_WAIT_MS = 2_000;
const MISS_LOOK_EVERY_MS = 100;

type FollowOutcome =
  /** The held version is the newest, or another relay is finding out; look again after `againMs`. */
  | { readonly kind: "followed"; readonly againMs: number }
  /** This relay must ask upstream: no other relay does, or the channel failed. */
  | { readonly kind: "ours" };

const OURS: FollowOutcome = { kind: "ours" };

/** What upstream last confirmed to this relay. */
interface OwnConfirmation {
  readonly lcut: number;
  /** As in {@link Clock.elapsed}. */
  readonly at: number;
}

/**
 * Makes one relay of many ask upstream for a feed per interval: the one that claims the feed. The others read what it finds
 * from the backup. There is no leader: a claim covers one request, and one that leads to nothing lapses within the interval,
 * so that the next relay asks.
 */
export class Fleet {
  readonly #options: FleetOptions;
  #intervalMs: number;
  /** Feeds that are held or preloaded, by topic. The maps below have entries of these alone. */
  readonly #topics = new Map<string, Feed>();
  readonly #ownConfirmations = new Map<string, OwnConfirmation>();
  /** When this relay's last request failed. */
  readonly #failedAt = new Map<string, number>();
  /** The lcut that may be confirmed to the fleet: the backup has it, or failed to store it. */
  readonly #confirmable = new Map<string, number>();
  /** The confirmed lcut that the backup lacked when it was last read. */
  readonly #missing = new Map<string, number>();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    const { channel, store, supervisor } = options;
    store.listen({
      added: ({ feed }) => this.#topics.set(channel.toTopic(feed), feed),
      removed: ({ feed }) => this.#forget(channel.toTopic(feed)),
    });
    channel.onAnnounced((topic, version) => {
      const feed = this.#topics.get(topic);
      if (feed !== undefined) void supervisor.task("fleet_notices", () => this.#catchUp(feed, version));
    });
  }

  #forget(topic: string): void {
    const maps = [this.#topics, this.#ownConfirmations, this.#failedAt, this.#confirmable, this.#missing];
    for (const each of maps) each.delete(topic);
  }

  /** Changes the polling interval. */
  pollEvery(intervalMs: number): void {
    this.#intervalMs = intervalMs;
  }

  /** Tries twice: a read that was already in flight may have started before the announced version was there. */
  async #catchUp(feed: Feed, announced: VersionId): Promise<void> {
    const { recovery, store, clock } = this.#options;
    if (isInFuture(announced.lcut, clock.now())) return;
    for (let attempt = 0; attempt < 2; attempt++) {
      const held = store.peek(feed)?.snapshot;
      if (held === undefined || held.lcut < announced.lcut) await recovery.recover(feed);
      else if (isOtherContent(held, announced)) await recovery.recoverContent(feed);
      else return;
    }
  }

  #heldLcut(feed: Feed): number {
    return this.#options.store.peek(feed)?.snapshot.lcut ?? -1;
  }

  /** Brings a feed that is due for a poll up to date without upstream, or returns that this relay must ask upstream. */
  async poll(feed: Feed, held: HeldFeed | undefined): Promise<FollowOutcome> {
    const { channel, store } = this.#options;
    // A preloaded feed that is not held yet must receive announcements as well.
    if (held === undefined && store.peek(feed) === undefined) this.#topics.set(channel.toTopic(feed), feed);
    const seen = await this.#look(feed);
    if (seen === undefined) return OURS;
    // A dropped feed must not come back from a backup that may still have it.
    if (seen.turn.kind === "claimed" && seen.turn.isRefused && this.#isDropped(feed)) {
      return { kind: "followed", againMs: this.#againAfterClaimMs(seen.turn) };
    }
    const hasNewest = await this.#catchUpWith(seen.last, feed, held);
    switch (seen.turn.kind) {
      case "ours":
        return OURS;
      case "claimed":
        if (seen.turn.isRefused && this.#mustAskAboutRefusal(feed)) return OURS;
        if (store.peek(feed) === undefined) await this.#options.recovery.recover(feed, held);
        return { kind: "followed", againMs: this.#againAfterClaimMs(seen.turn) };
      case "confirmed": {
        if (!hasNewest) return this.#followMissing(feed, seen.last?.lcut ?? 0);
        const leftMs = Math.max(0, this.#lookOptions(feed).freshForMs - (seen.last?.ageMs ?? 0));
        return { kind: "followed", againMs: leftMs + this.#spreadMs(SPREAD) };
      }
    }
  }

  #isDropped(feed: Feed): boolean {
    const { store, clearOnUnauthorized } = this.#options;
    return clearOnUnauthorized && store.peek(feed) === undefined;
  }

  /**
   * Returns whether this relay must ask upstream itself, after upstream rejected the SDK key of another relay. To drop a feed, a
   * relay needs a response of its own; to serve it as revoked, another relay's response is enough.
   */
  #mustAskAboutRefusal(feed: Feed): boolean {
    const { store, clock, clearOnUnauthorized } = this.#options;
    const held = store.peek(feed);
    if (held === undefined || held.isRevoked) return false;
    if (!clearOnUnauthorized) held.revoke(clock);
    return clearOnUnauthorized;
  }

  /** As {@link poll}, for a client that waits for the first version of a feed. Gives up after 2 to 4 s. */
  async cacheMiss(feed: Feed): Promise<FollowOutcome> {
    const { store, clock, recovery, signal } = this.#options;
    const giveUpAt = clock.elapsed() + MISS_WAIT_MS * (1 + Math.random());
    for (let looks = 0; clock.elapsed() < giveUpAt; looks++) {
      const seen = await this.#look(feed);
      if (seen === undefined || seen.turn.kind === "ours") return OURS;
      if (await this.#catchUpWith(seen.last, feed)) return { kind: "followed", againMs: 0 };
      if (seen.turn.kind === "confirmed") return OURS;
      if (looks === 0) await recovery.recover(feed);
      if (store.peek(feed) !== undefined) return { kind: "followed", againMs: 0 };
      await clock.sleep(MISS_LOOK_EVERY_MS, signal);
    }
    return OURS;
  }

  /** Returns undefined if the channel failed. */
  async #look(feed: Feed): Promise<Seen | undefined> {
    const { channel, clock, emit } = this.#options;
    const look = channel.look(feed, this.#lookOptions(feed));
    const seen = await withTimeout(look, CHANNEL_TIMEOUT_MS, clock).catch(() => undefined);
    emit({ kind: "fleet_looked", seen: seen?.turn.kind ?? "failed" });
    return seen;
  }

  #lookOptions(feed: Feed): Look {
    const { channel, clock } = this.#options;
    const intervalMs = this.#intervalMs;
    const claimed = (later: number) => Math.min(CLAIMED * intervalMs, MAX_CLAIMED_MS) + later * intervalMs;
    const failedAt = this.#failedAt.get(channel.toTopic(feed));
    if (failedAt === undefined) return { freshForMs: FRESH * intervalMs, claimedForMs: claimed(0) };
    const intervalsAgo = (clock.elapsed() - failedAt) / intervalMs;
    const later =
      LATER_AFTER_FAILURE.find(({ withinIntervals }) => intervalsAgo < withinIntervals)?.later ?? 0;
    return { freshForMs: FRESH_AFTER_FAILURE * intervalMs, claimedForMs: claimed(later) };
  }

  /** Reads the backup if the held version is older than the confirmed one. Returns whether it is as new afterwards. */
  async #catchUpWith(last: Confirmation | undefined, feed: Feed, held?: HeldFeed): Promise<boolean> {
    const { store, recovery, clock } = this.#options;
    if (last === undefined) return false;
    if (this.#heldLcut(feed) < last.lcut) await recovery.recover(feed, held);
    if (this.#heldLcut(feed) < last.lcut) return false;
    const { confirmedAgoMs } = last;
    // Even an old confirmation counts: it is the last one that any relay knows.
    if (confirmedAgoMs !== undefined) store.confirm(feed, takeInstant(clock, confirmedAgoMs));
    return true;
  }

  /** The relay that has the version may still be writing it; if it cannot write it, every relay must ask upstream. */
  #followMissing(feed: Feed, lcut: number): FollowOutcome {
    const topic = this.#options.channel.toTopic(feed);
    const wasMissing = this.#missing.get(topic) === lcut;
    if (wasMissing || !this.#topics.has(topic)) return OURS;
    this.#missing.set(topic, lcut);
    return { kind: "followed", againMs: this.#spreadMs(MISSING) };
  }

  #againAfterClaimMs({ ageMs, leftMs }: Turn & { readonly kind: "claimed" }): number {
    const early = EARLY.map((part) => part * this.#intervalMs - ageMs).find((ms) => ms > 0);
    if (early !== undefined && early < leftMs) return early + this.#spreadMs(SPREAD_EARLY);
    return leftMs + this.#spreadMs(SPREAD_AFTER_CLAIM);
  }

  #spreadMs(part: number): number {
    return this.#intervalMs * part * Math.random();
  }

  /** Upstream confirmed to this relay that the held version is the newest. */
  upstreamConfirmed(feed: Feed): void {
    const { channel, store, clock } = this.#options;
    const topic = channel.toTopic(feed);
    const held = store.peek(feed);
    if (held === undefined) return;
    const { lcut } = held.snapshot;
    const isUnchanged = this.#ownConfirmations.get(topic)?.lcut === lcut;
    this.#failedAt.delete(topic);
    this.#ownConfirmations.set(topic, { lcut, at: clock.elapsed() });
    // A new version is confirmed once the backup has it. If it lacks the version an interval later, the others must ask upstream.
    if (isUnchanged || this.#confirmable.get(topic) === lcut) this.#confirm(held);
  }

  /** Upstream responded to this relay that the SDK key is not valid. */
  upstreamUnauthorized(feed: Feed): void {
    this.upstreamFailed(feed);
    this.#options.channel.refuse(feed, this.#lookOptions(feed).claimedForMs).catch(() => {});
  }

  /** A request of this relay failed. `retryAfterMs`: how long upstream asked to wait. */
  upstreamFailed(feed: Feed, retryAfterMs = 0): void {
    const { channel, clock } = this.#options;
    const topic = channel.toTopic(feed);
    if (this.#topics.has(topic)) this.#failedAt.set(topic, clock.elapsed());
    // If this fails, the other relays get the same response from upstream.
    if (retryAfterMs > CLAIMED * this.#intervalMs) channel.holdOff(feed, retryAfterMs).catch(() => {});
  }

  /** The backup has this version. */
  written(snapshot: Snapshot, { isNew, replacedContent }: Written): void {
    const { feed, lcut } = snapshot;
    this.#allowConfirmation(snapshot);
    const checksum = replacedContent ? snapshot.checksum : "";
    // If this fails, the other relays find a newer lcut when they look next, and another content when they ask upstream.
    if (isNew) this.#options.channel.announce(feed, { lcut, checksum }).catch(() => {});
  }

  /** The backup failed to store this version. It is confirmed nevertheless, so that the other relays ask upstream for it. */
  writeFailed(snapshot: Snapshot): void {
    this.#allowConfirmation(snapshot);
  }

  #allowConfirmation({ feed, lcut }: Snapshot): void {
    const held = this.#options.store.peek(feed);
    if (held?.snapshot.lcut !== lcut) return;
    this.#confirmable.set(this.#options.channel.toTopic(feed), lcut);
    this.#confirm(held);
  }

  #confirm(held: HeldFeed): void {
    const { channel, clock } = this.#options;
    const { feed, snapshot } = held;
    const own = this.#ownConfirmations.get(channel.toTopic(feed));
    // A version that came from another relay is confirmed by that relay.
    if (own?.lcut !== snapshot.lcut) return;
    const ageMs = clock.elapsed() - own.at;
    const confirmation = { lcut: snapshot.lcut, ageMs, confirmedAgoMs: held.confirmedAgoMs(clock) };
    // If this fails, the other relays ask upstream themselves.
    channel.confirm(feed, confirmation).catch(() => {});
  }
}
