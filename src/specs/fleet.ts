import { type Clock, takeInstant, within } from "../clock.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import type { EmitSpecEvent } from "./events.ts";
import type { Feed } from "./feed.ts";
import type { HeldFeed } from "./held-feed.ts";
import { isInFuture } from "./payload.ts";
import type { SpecRecovery } from "./recovery.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SpecStore } from "./spec-store.ts";

/** What a relay wants to know of a feed that is due for it. All in ms. */
export interface Look {
  /** A confirmation that is older does not count. */
  readonly freshForMs: number;
  /** A claim that is older does not count. */
  readonly claimedForMs: number;
}

/** What the board says to a look. Told in lengths of time: the clocks of the relays need not agree. */
export type Seen =
  | ({ readonly kind: "confirmed" } & Confirmation)
  /** Another relay said so long ago that it asks upstream, and has not confirmed anything yet; negative where it is to be waited for longer. */
  | { readonly kind: "claimed"; readonly ageMs: number }
  /** Neither; from now on it is claimed for who looked. */
  | { readonly kind: "ours" };

/** Upstream has nothing newer than `lcut`, which is in the backup. */
export interface Confirmation {
  readonly lcut: number;
  /** How long ago upstream was asked. */
  readonly ageMs: number;
  /** How long ago Statsig was known to have nothing newer; undefined if upstream is a relay that can't say. */
  readonly confirmedAgoMs: number | undefined;
}

/** Where the relays of a fleet tell each other what they know. Every method rejects where it does not work just now. */
export interface FleetBoard {
  /** One atomic step: of relays that look at the same moment, one has the claim. */
  look(feed: Feed, look: Look): Promise<Seen>;
  confirm(feed: Feed, confirmation: Confirmation): Promise<void>;
  /** The claim counts as made `ms` from now, so that nobody asks before. */
  holdOff(feed: Feed, ms: number): Promise<void>;
  /** Tells all relays at once that the backup has a new version. */
  announce(feed: Feed, lcut: number): Promise<void>;
  /** `topic` is {@link topicOf} of the feed: SDK keys are not told. */
  onAnnounced(listener: (topic: string, lcut: number) => void): void;
  topicOf(feed: Feed): string;
}

export interface FleetOptions {
  readonly board: FleetBoard;
  readonly store: SpecStore;
  readonly recovery: SpecRecovery;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
  readonly emit: EmitSpecEvent;
}

// Parts of the interval of the relay that looks: whoever confirmed or claimed may have another one.

/** Below 1, since polls come up to a tenth sooner than the interval; close to it, so that upstream is asked about once in it. */
const FRESH = 0.95;
const CLAIMED = 0.9;
/** For a relay that got no answer the last time: others, which fare better, go on. */
const FRESH_AFTER_FAILURE = 1.2;
/** Of those that got none, the one goes first for which that is longest ago: so much later, where it was within as many intervals. */
const LATER_AFTER_FAILURE = [
  { withinIntervals: 1.5, later: 0.1 },
  { withinIntervals: 3, later: 0.05 },
] as const;
/** Left to chance, so that relays do not look in step. */
const SPREAD = 0.1;
/** How often a relay looks whether the one that asks upstream has had an answer. */
const AWAITED_EVERY = 0.1;

/** A board that has not answered by then is taken for gone. */
const BOARD_TIMEOUT_MS = 1_000;

/** Where nothing is held, a relay waits so long for another one that asks upstream, and looks so often. */
const EMPTY_HANDED_MS = 2_000;
const EMPTY_HANDED_EVERY_MS = 100;

export type Following =
  /** What is held is the newest, or another relay is finding out whether it is; look again after `againMs`. */
  | { readonly kind: "followed"; readonly againMs: number }
  /** Nobody else asks upstream, or we can't know: ask it ourselves. */
  | { readonly kind: "ours" };

/**
 * Has one relay of many ask upstream for a feed in each interval: the one that claims it. The others take what it finds from
 * the backup. No relay leads: a claim is good for one request, and one that comes to nothing runs out within the interval,
 * so that the next relay asks.
 */
export class Fleet {
  readonly #options: FleetOptions;
  #intervalMs: number;
  readonly #topics = new Map<string, Feed>();
  /** When this relay last asked upstream, by topic. */
  readonly #askedAt = new Map<string, number>();
  /** When this relay's last request got no answer, by topic. */
  readonly #failedAt = new Map<string, number>();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    const { board, store, supervisor } = options;
    store.listen({
      added: ({ feed }) => this.#topics.set(board.topicOf(feed), feed),
      removed: ({ feed }) => {
        this.#topics.delete(board.topicOf(feed));
        this.#askedAt.delete(board.topicOf(feed));
        this.#failedAt.delete(board.topicOf(feed));
      },
    });
    board.onAnnounced((topic, lcut) => {
      const feed = this.#topics.get(topic);
      if (feed !== undefined) void supervisor.task("fleet_notices", () => this.#catchUp(feed, lcut));
    });
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
      const held = store.peek(feed);
      if (held === undefined || held.snapshot.lcut >= lcut) return;
      await recovery.recover(feed);
    }
  }

  /** What is known of a feed that is due without asking upstream, or that it is for this relay to ask. */
  async follow(feed: Feed, asked?: HeldFeed): Promise<Following> {
    const { store, clock, recovery } = this.#options;
    const giveUpAt = clock.elapsed() + EMPTY_HANDED_MS;
    let hasRead = false;
    for (;;) {
      const seen = await this.#look(feed);
      if (seen.kind === "confirmed") return this.#take(feed, seen, asked);
      if (seen.kind === "ours") return this.#ours(feed);
      if (store.peek(feed) !== undefined)
        return { kind: "followed", againMs: this.#lookAgainMs(feed, seen.ageMs) };
      if (!hasRead) await recovery.recover(feed, asked);
      hasRead = true;
      if (store.peek(feed) !== undefined) continue;
      if (clock.elapsed() >= giveUpAt) return this.#ours(feed);
      await clock.sleep(EMPTY_HANDED_EVERY_MS, NEVER);
    }
  }

  #ours(feed: Feed): Following {
    const { board, clock } = this.#options;
    this.#askedAt.set(board.topicOf(feed), clock.elapsed());
    return { kind: "ours" };
  }

  async #look(feed: Feed): Promise<Seen> {
    const { board, clock, emit } = this.#options;
    const look = board.look(feed, this.#lookFor(feed));
    const seen = await within(clock, BOARD_TIMEOUT_MS, look).catch(() => undefined);
    emit({ kind: "fleet_looked", seen: seen?.kind ?? "failed" });
    return seen ?? { kind: "ours" };
  }

  #lookFor(feed: Feed): Look {
    const { board, clock } = this.#options;
    const intervalMs = this.#intervalMs;
    const failedAt = this.#failedAt.get(board.topicOf(feed));
    if (failedAt === undefined) return { freshForMs: FRESH * intervalMs, claimedForMs: CLAIMED * intervalMs };
    const intervalsAgo = (clock.elapsed() - failedAt) / intervalMs;
    const later =
      LATER_AFTER_FAILURE.find(({ withinIntervals }) => intervalsAgo < withinIntervals)?.later ?? 0;
    return { freshForMs: FRESH_AFTER_FAILURE * intervalMs, claimedForMs: (CLAIMED + later) * intervalMs };
  }

  /** Where the backup does not have what was confirmed, it is for us to ask. */
  async #take(feed: Feed, seen: Seen & { readonly kind: "confirmed" }, asked?: HeldFeed): Promise<Following> {
    const { store, recovery, clock } = this.#options;
    if ((store.peek(feed)?.snapshot.lcut ?? -1) < seen.lcut) await recovery.recover(feed, asked);
    const held = store.peek(feed);
    if (held === undefined || held.snapshot.lcut < seen.lcut) return this.#ours(feed);
    const { confirmedAgoMs } = seen;
    store.confirm(feed, confirmedAgoMs === undefined ? undefined : takeInstant(clock, confirmedAgoMs));
    const leftMs = Math.max(0, this.#lookFor(feed).freshForMs - seen.ageMs);
    return { kind: "followed", againMs: leftMs + this.#intervalMs * SPREAD * Math.random() };
  }

  #lookAgainMs(feed: Feed, ageMs: number): number {
    const leftMs = Math.max(0, this.#lookFor(feed).claimedForMs - ageMs);
    const stepMs = this.#intervalMs * AWAITED_EVERY;
    return Math.min(leftMs, stepMs) + (stepMs / 2) * Math.random();
  }

  /** What this relay's own request to upstream came to. `retryAfterMs`: for how long upstream wants to be left alone. */
  asked(
    feed: Feed,
    {
      hasAnswer,
      retryAfterMs = 0,
    }: { readonly hasAnswer: boolean; readonly retryAfterMs?: number | undefined },
  ): void {
    const { board, store, clock } = this.#options;
    const topic = board.topicOf(feed);
    if (hasAnswer) this.#failedAt.delete(topic);
    else if (store.peek(feed) !== undefined) this.#failedAt.set(topic, clock.elapsed());
    // Where the others don't hear of it, they find out for themselves.
    if (retryAfterMs > this.#intervalMs)
      board.holdOff(feed, retryAfterMs - CLAIMED * this.#intervalMs).catch(() => {});
  }

  /** The backup has this version. */
  kept({ feed, lcut }: Snapshot, { isNew }: { readonly isNew: boolean }): void {
    const { board, store, clock } = this.#options;
    const held = store.peek(feed);
    const askedAt = this.#askedAt.get(board.topicOf(feed));
    if (held?.snapshot.lcut === lcut && askedAt !== undefined) {
      const confirmation = {
        lcut,
        ageMs: clock.elapsed() - askedAt,
        confirmedAgoMs: held.confirmedAgoMs(clock),
      };
      // Without it the others ask upstream for themselves.
      board.confirm(feed, confirmation).catch(() => {});
    }
    // Who does not hear it finds it at the next look.
    if (isNew) board.announce(feed, lcut).catch(() => {});
  }
}

/** Of waits that are short. */
const NEVER = new AbortController().signal;
