import { withTimeout } from "../platform/abort.ts";
import { type Clock, takeInstant } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { EmitSpecEvent } from "./events.ts";
import type { Feed } from "./feed.ts";
import { isInFuture } from "./payload/payload.ts";
import type { SpecRecovery } from "./recovery.ts";
import type { Snapshot } from "./snapshot.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

/** What a relay wants to know of a feed that is due for it. All in ms. */
export interface Look {
  /** A confirmation that is older leaves it to be asked for. */
  readonly freshForMs: number;
  /** A claim that is older does not count. */
  readonly claimedForMs: number;
}

/** Upstream has nothing newer than `lcut`, as a relay of the fleet was told. */
export interface Confirmation {
  readonly lcut: number;
  /** How long ago upstream answered. */
  readonly ageMs: number;
  /** How long ago Statsig was known to have nothing newer; undefined if upstream is a relay that can't say. */
  readonly confirmedAgoMs: number | undefined;
}

/** Who asks upstream now. Told in lengths of time: the clocks of the relays need not agree. */
export type Turn =
  /** Nobody: the last confirmation is fresh. */
  | { readonly kind: "confirmed" }
  /** Another relay, which claimed the feed so long ago. Its claim counts for `leftMs` more. */
  | {
      readonly kind: "claimed";
      readonly ageMs: number;
      readonly leftMs: number;
      /** Upstream told it that the SDK key is not valid. */
      readonly isRefused: boolean;
    }
  /** Who looked; from now on it is claimed. */
  | { readonly kind: "ours" };

export interface Seen {
  readonly turn: Turn;
  /** The last one, however old; undefined where none is known, which does not happen with the turn `confirmed`. */
  readonly last: Confirmation | undefined;
}

/** Where the relays of a fleet tell each other what they know. Every method rejects where it does not work just now. */
export interface FleetChannel {
  /** One atomic step: of relays that look at the same moment, one has the claim. */
  look(feed: Feed, look: Look): Promise<Seen>;
  confirm(feed: Feed, confirmation: Confirmation): Promise<void>;
  /** Upstream says that the SDK key is not valid. */
  refuse(feed: Feed, claimedForMs: number): Promise<void>;
  /** Nobody is to ask upstream for so long. */
  holdOff(feed: Feed, ms: number): Promise<void>;
  /** Tells all relays at once that the backup has a new version. */
  announce(feed: Feed, lcut: number): Promise<void>;
  /** `topic` is {@link topicOf} of the feed: SDK keys are not told. */
  onAnnounced(listener: (topic: string, lcut: number) => void): void;
  topicOf(feed: Feed): string;
}

interface FleetOptions {
  readonly board: FleetChannel;
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

// Parts of the interval of the relay that looks: whoever confirmed or claimed may have another one.

/** Below 1, since polls come up to a tenth sooner than the interval; close to it, so that upstream is asked about once in it. */
const FRESH = 0.95;
const CLAIMED = 0.9;
/** For a relay that got no answer the last time: others, which fare better, go on. */
const FRESH_AFTER_FAILURE = 1.2;
/** A relay whose own request failed so many intervals ago, or fewer, lets the others go first by so much of one. */
const LATER_AFTER_FAILURE = [
  { withinIntervals: 1.5, later: 0.05 },
  { withinIntervals: 3, later: 0.025 },
] as const;
/** Left to chance, so that relays do not look in step. */
const SPREAD = 0.1;
const SPREAD_AFTER_CLAIM = 0.025;
/** A relay that waits for another one looks so soon after the claim, and then when it is over: what is new is announced. */
const EARLY = [0.1, 0.4] as const;
const SPREAD_EARLY = 0.05;
/** One that finds the news of another missing in the backup gives it so much time to arrive, and asks for itself then. */
const MISSING = 0.5;

/** A request does not take longer than this: whoever claimed the feed has died, or can't reach upstream. */
const MAX_CLAIMED_MS = 60_000;

/** A board that has not answered by then is taken for gone. */
const BOARD_TIMEOUT_MS = 1_000;

/** A client that waits for a feed of which nothing is held waits so long for another relay, which asks upstream, at least. */
const EMPTY_HANDED_MS = 2_000;
const EMPTY_HANDED_EVERY_MS = 100;

type Following =
  /** What is held is the newest, or another relay is finding out whether it is; look again after `againMs`. */
  | { readonly kind: "followed"; readonly againMs: number }
  /** Nobody else asks upstream, or we can't know: ask it ourselves. */
  | { readonly kind: "ours" };

const OURS: Following = { kind: "ours" };

/** What upstream last said to this relay. */
interface Answer {
  readonly lcut: number;
  /** By {@link Clock.elapsed}. */
  readonly at: number;
}

/**
 * Has one relay of many ask upstream for a feed in each interval: the one that claims it. The others take what it finds from
 * the backup. No relay leads: a claim is good for one request, and one that comes to nothing runs out within the interval,
 * so that the next relay asks.
 */
export class Fleet {
  readonly #options: FleetOptions;
  #intervalMs: number;
  /** Feeds that are held, or preloaded. What is kept by topic below is of these alone. */
  readonly #topics = new Map<string, Feed>();
  readonly #answers = new Map<string, Answer>();
  /** When this relay's last request got no answer. */
  readonly #failedAt = new Map<string, number>();
  /** The version that may be confirmed: the backup has it, or does not take it. */
  readonly #tellable = new Map<string, number>();
  /** The version that the backup lacked when it was last looked for. */
  readonly #missing = new Map<string, number>();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    const { board, store, supervisor } = options;
    store.listen({
      added: ({ feed }) => this.#topics.set(board.topicOf(feed), feed),
      removed: ({ feed }) => this.#forget(board.topicOf(feed)),
    });
    board.onAnnounced((topic, lcut) => {
      const feed = this.#topics.get(topic);
      if (feed !== undefined) void supervisor.task("fleet_notices", () => this.#catchUp(feed, lcut));
    });
  }

  #forget(topic: string): void {
    for (const each of [this.#topics, this.#answers, this.#failedAt, this.#tellable, this.#missing]) {
      each.delete(topic);
    }
  }

  /** From now on upstream is asked so often. */
  pollEvery(intervalMs: number): void {
    this.#intervalMs = intervalMs;
  }

  /** A reading that was underway may have begun before the announced version was there. */
  async #catchUp(feed: Feed, lcut: number): Promise<void> {
    const { store, recovery, clock } = this.#options;
    if (isInFuture(lcut, clock.now())) return;
    for (let attempt = 0; attempt < 2; attempt++) {
      if ((store.peek(feed)?.snapshot.lcut ?? -1) >= lcut) return;
      await recovery.recover(feed);
    }
  }

  /** What is known of a feed that is polled without asking upstream, or that it is for this relay to ask. */
  async poll(feed: Feed, asked: HeldFeed | undefined): Promise<Following> {
    const { board, store } = this.#options;
    // A preloaded feed hears of its first version as well.
    if (asked === undefined && store.peek(feed) === undefined) this.#topics.set(board.topicOf(feed), feed);
    const seen = await this.#look(feed);
    if (seen === undefined) return OURS;
    // What was dropped does not come back from a backup in which it may still be.
    if (seen.turn.kind === "claimed" && seen.turn.isRefused && this.#isDropped(feed)) {
      return { kind: "followed", againMs: this.#againAfterClaimMs(seen.turn) };
    }
    const hasNewest = await this.#take(feed, seen.last, asked);
    switch (seen.turn.kind) {
      case "ours":
        return OURS;
      case "claimed":
        if (seen.turn.isRefused && this.#mustHearRefusal(feed)) return OURS;
        if (store.peek(feed) === undefined) await this.#options.recovery.recover(feed, asked);
        return { kind: "followed", againMs: this.#againAfterClaimMs(seen.turn) };
      case "confirmed": {
        if (!hasNewest) return this.#followMissing(feed, seen.last?.lcut ?? 0);
        const leftMs = Math.max(0, this.#lookFor(feed).freshForMs - (seen.last?.ageMs ?? 0));
        return { kind: "followed", againMs: leftMs + this.#spreadMs(SPREAD) };
      }
    }
  }

  #isDropped(feed: Feed): boolean {
    const { store, clearOnUnauthorized } = this.#options;
    return clearOnUnauthorized && store.peek(feed) === undefined;
  }

  /** What is held is dropped only where upstream says so itself. Else it is served on, and another relay's word will do. */
  #mustHearRefusal(feed: Feed): boolean {
    const { store, clock, clearOnUnauthorized } = this.#options;
    const held = store.peek(feed);
    if (held === undefined || held.isRevoked) return false;
    if (!clearOnUnauthorized) held.revoke(clock);
    return clearOnUnauthorized;
  }

  /** The same for a client that waits for its first version, and not for long. */
  async cacheMiss(feed: Feed): Promise<Following> {
    const { store, clock, recovery, signal } = this.#options;
    const giveUpAt = clock.elapsed() + EMPTY_HANDED_MS * (1 + Math.random());
    for (let looks = 0; clock.elapsed() < giveUpAt; looks++) {
      const seen = await this.#look(feed);
      if (seen === undefined || seen.turn.kind === "ours") return OURS;
      if (await this.#take(feed, seen.last)) return { kind: "followed", againMs: 0 };
      if (seen.turn.kind === "confirmed") return OURS;
      if (looks === 0) await recovery.recover(feed);
      if (store.peek(feed) !== undefined) return { kind: "followed", againMs: 0 };
      await clock.sleep(EMPTY_HANDED_EVERY_MS, signal);
    }
    return OURS;
  }

  /** Undefined where the board does not work. */
  async #look(feed: Feed): Promise<Seen | undefined> {
    const { board, clock, emit } = this.#options;
    const look = board.look(feed, this.#lookFor(feed));
    const seen = await withTimeout(look, BOARD_TIMEOUT_MS, clock).catch(() => undefined);
    emit({ kind: "fleet_looked", seen: seen?.turn.kind ?? "failed" });
    return seen;
  }

  #lookFor(feed: Feed): Look {
    const { board, clock } = this.#options;
    const intervalMs = this.#intervalMs;
    const claimed = (later: number) => Math.min(CLAIMED * intervalMs, MAX_CLAIMED_MS) + later * intervalMs;
    const failedAt = this.#failedAt.get(board.topicOf(feed));
    if (failedAt === undefined) return { freshForMs: FRESH * intervalMs, claimedForMs: claimed(0) };
    const intervalsAgo = (clock.elapsed() - failedAt) / intervalMs;
    const later =
      LATER_AFTER_FAILURE.find(({ withinIntervals }) => intervalsAgo < withinIntervals)?.later ?? 0;
    return { freshForMs: FRESH_AFTER_FAILURE * intervalMs, claimedForMs: claimed(later) };
  }

  /** Whether what is held is as new as what was confirmed, once the backup was looked into. */
  async #take(feed: Feed, last: Confirmation | undefined, asked?: HeldFeed): Promise<boolean> {
    const { store, recovery, clock } = this.#options;
    if (last === undefined) return false;
    if ((store.peek(feed)?.snapshot.lcut ?? -1) < last.lcut) await recovery.recover(feed, asked);
    if ((store.peek(feed)?.snapshot.lcut ?? -1) < last.lcut) return false;
    const { confirmedAgoMs } = last;
    // Also where it is old: it is the last that anybody knows.
    if (confirmedAgoMs !== undefined) store.confirm(feed, takeInstant(clock, confirmedAgoMs));
    return true;
  }

  /** The relay that has the version may still be writing it; or it can't, and every relay must ask. */
  #followMissing(feed: Feed, lcut: number): Following {
    const topic = this.#options.board.topicOf(feed);
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

  /** Upstream answered this relay: what is held is the newest. */
  answered(feed: Feed): void {
    const { board, store, clock } = this.#options;
    const topic = board.topicOf(feed);
    const held = store.peek(feed);
    if (held === undefined) return;
    const { lcut } = held.snapshot;
    const isUnchanged = this.#answers.get(topic)?.lcut === lcut;
    this.#failedAt.delete(topic);
    this.#answers.set(topic, { lcut, at: clock.elapsed() });
    // A new version is confirmed once the backup has it; one that it still lacks an interval later, others must ask for.
    if (isUnchanged || this.#tellable.get(topic) === lcut) this.#confirm(held);
  }

  /** It says that the SDK key is not valid. */
  refused(feed: Feed): void {
    this.failed(feed);
    this.#options.board.refuse(feed, this.#lookFor(feed).claimedForMs).catch(() => {});
  }

  /** It gave no answer. `retryAfterMs`: for how long it wants to be left alone. */
  failed(feed: Feed, retryAfterMs = 0): void {
    const { board, clock } = this.#options;
    const topic = board.topicOf(feed);
    if (this.#topics.has(topic)) this.#failedAt.set(topic, clock.elapsed());
    // Where the others don't hear of it, they find out for themselves.
    if (retryAfterMs > CLAIMED * this.#intervalMs) board.holdOff(feed, retryAfterMs).catch(() => {});
  }

  /** The backup has this version. */
  kept(snapshot: Snapshot, { isNew }: { readonly isNew: boolean }): void {
    const { feed, lcut } = snapshot;
    this.mayConfirm(snapshot);
    // Who does not hear it finds it at the next look.
    if (isNew) this.#options.board.announce(feed, lcut).catch(() => {});
  }

  /** Also where the backup does not take this version, so that the other relays have to ask upstream for it. */
  mayConfirm({ feed, lcut }: Snapshot): void {
    const held = this.#options.store.peek(feed);
    if (held?.snapshot.lcut !== lcut) return;
    this.#tellable.set(this.#options.board.topicOf(feed), lcut);
    this.#confirm(held);
  }

  #confirm(held: HeldFeed): void {
    const { board, clock } = this.#options;
    const { feed, snapshot } = held;
    const answer = this.#answers.get(board.topicOf(feed));
    // What came from another relay, that one confirms.
    if (answer?.lcut !== snapshot.lcut) return;
    const ageMs = clock.elapsed() - answer.at;
    const confirmation = { lcut: snapshot.lcut, ageMs, confirmedAgoMs: held.confirmedAgoMs(clock) };
    // Without it the others ask upstream for themselves.
    board.confirm(feed, confirmation).catch(() => {});
  }
}
