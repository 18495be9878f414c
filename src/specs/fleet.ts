import { type Clock, takeInstant, within } from "../clock.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import type { BackupWriter } from "./backup-writer.ts";
import type { Feed } from "./feed.ts";
import type { HeldFeed } from "./held-feed.ts";
import type { Lease } from "./lease.ts";
import { isInFuture } from "./payload.ts";
import type { SpecRecovery } from "./recovery.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SpecStore } from "./spec-store.ts";

/** What upstream said to one relay of a fleet, for the others. */
export interface Confirmation {
  /** The newest version that upstream has; it is in the backup. */
  readonly lcut: number;
  /** How long this still counts. */
  readonly ttlMs: number;
}

/** As it is found. Told in lengths of time: the clocks of the relays need not agree. */
export interface KnownConfirmation extends Confirmation {
  readonly saidAgoMs: number;
}

/** Where the relays of a fleet tell each other what they know. Every method rejects where it does not work just now. */
export interface FleetBoard {
  confirm(feed: Feed, confirmation: Confirmation): Promise<void>;
  confirmation(feed: Feed): Promise<KnownConfirmation | undefined>;
  /** Tells all relays at once that the backup has a new version. */
  announce(feed: Feed, lcut: number): Promise<void>;
  /** `topic` is {@link topicOf} of the feed: SDK keys are not told. */
  onAnnounced(listener: (topic: string, lcut: number) => void): void;
  topicOf(feed: Feed): string;
}

export interface FleetOptions {
  readonly board: FleetBoard;
  readonly lease: Lease;
  readonly store: SpecStore;
  readonly recovery: SpecRecovery;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly intervalMs: number;
}

/**
 * A confirmation outlives the interval by half, so that a leader that polls in time is always believed, and a
 * feed of a leader that died is polled by another after one and a half.
 */
const CONFIRMED_INTERVALS = 1.5;

/** A board that has not answered by then is taken for gone. */
const BOARD_TIMEOUT_MS = 1_000;

export type Following =
  /** Upstream has nothing newer than what is held, said a relay that asked it. */
  | { readonly kind: "confirmed"; readonly ttlMs: number }
  /** Nobody asked upstream lately, or we can't know: ask it ourselves. */
  | { readonly kind: "unconfirmed" };

/** Lets one relay poll for all: the others take each version from the backup. */
export class Fleet {
  readonly #options: FleetOptions;
  #intervalMs: number;
  readonly #topics = new Map<string, Feed>();
  #writer: BackupWriter | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    const { board, store, supervisor } = options;
    store.listen({
      added: ({ feed }) => this.#topics.set(board.topicOf(feed), feed),
      removed: ({ feed }) => this.#topics.delete(board.topicOf(feed)),
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

  /** The writer tells what is in the backup; only that may be confirmed. */
  writeThrough(writer: BackupWriter): void {
    this.#writer = writer;
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

  /** What is known of a feed without asking upstream. The lease holder always asks. */
  async follow(feed: Feed, asked?: HeldFeed): Promise<Following> {
    const { lease, store, recovery, clock } = this.#options;
    if (lease.isHeld) return UNCONFIRMED;
    const confirmation = await this.#confirmation(feed);
    if (confirmation === undefined || isInFuture(confirmation.lcut, clock.now())) return UNCONFIRMED;
    if ((store.peek(feed)?.snapshot.lcut ?? -1) < confirmation.lcut) await recovery.recover(feed, asked);
    const held = store.peek(feed);
    if (held === undefined || held.snapshot.lcut < confirmation.lcut) return UNCONFIRMED;
    store.confirm(feed, takeInstant(clock, confirmation.saidAgoMs));
    return { kind: "confirmed", ttlMs: confirmation.ttlMs };
  }

  /** Upstream said that what is held is the newest. */
  refreshed(feed: Feed): void {
    const snapshot = this.#options.store.peek(feed)?.snapshot;
    if (snapshot === undefined || this.#writer === undefined) return;
    if (this.#writer.hasWritten(snapshot)) this.#confirm(snapshot);
    else this.#writer.write(feed);
  }

  /** The version is in the backup. */
  written(snapshot: Snapshot, isNew: boolean): void {
    this.#confirm(snapshot);
    // Who does not hear it finds it at the next look.
    if (isNew) this.#options.board.announce(snapshot.feed, snapshot.lcut).catch(() => {});
  }

  #confirm({ feed, lcut }: Snapshot): void {
    const ttlMs = this.#intervalMs * CONFIRMED_INTERVALS;
    // Without it the others ask upstream for themselves.
    this.#options.board.confirm(feed, { lcut, ttlMs }).catch(() => {});
  }

  async #confirmation(feed: Feed): Promise<KnownConfirmation | undefined> {
    const { board, clock } = this.#options;
    try {
      return await within(clock, BOARD_TIMEOUT_MS, board.confirmation(feed));
    } catch {
      return undefined;
    }
  }
}

const UNCONFIRMED: Following = { kind: "unconfirmed" };
