import { SpecAcquirer } from "../../../src/specs/acquire.ts";
import { BackupWriter } from "../../../src/specs/backup-writer.ts";
import type { VersionId } from "../../../src/specs/deltas/delta.ts";
import { type Feed, feedId } from "../../../src/specs/feed.ts";
import {
  type Confirmation,
  Fleet,
  type FleetChannel,
  type Look,
  type Seen,
} from "../../../src/specs/fleet.ts";
import { SpecPoller } from "../../../src/specs/poller.ts";
import { SpecRecovery } from "../../../src/specs/recovery.ts";
import { SpecRefresher } from "../../../src/specs/refresh.ts";
import { isOtherContent, type Snapshot } from "../../../src/specs/snapshot.ts";
import { SpecStore } from "../../../src/specs/store.ts";
import type { FakeClock } from "../common/fake-clock.ts";
import { strictSupervisor } from "../common/supervisors.ts";
import { MemoryBackup } from "./memory-backup.ts";
import { failed, ScriptedSource, version } from "./scripted-source.ts";
import { instantPreparer } from "./spec-flow.ts";

/** What the relays of a fleet share; Redis, for real ones. */
export class SharedChannel {
  readonly #clock: FakeClock;
  readonly #confirmed = new Map<
    string,
    { readonly lcut: number; readonly at: number; readonly confirmedAt: number }
  >();
  readonly #claimed = new Map<
    string,
    { readonly at: number; readonly heldUntil?: number; readonly isRefused?: boolean }
  >();
  readonly #listeners = new Set<(topic: string, version: VersionId) => void>();
  works = true;
  /** Whether announcements are lost. */
  losesAnnouncements = false;
  /** How long a look takes, and how many are in flight. */
  latencyMs = 0;
  looking = 0;
  /** Number of looks of all relays at all feeds. */
  looks = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  look(feed: Feed, { freshForMs, claimedForMs }: Look): Seen {
    this.#check();
    this.looks++;
    const id = feedId(feed);
    const now = this.#clock.elapsed();
    const known = this.#confirmed.get(id);
    const last = known && {
      lcut: known.lcut,
      ageMs: now - known.at,
      confirmedAgoMs: now - known.confirmedAt,
    };
    const claim = this.#claimed.get(id);
    const isRefused = claim?.isRefused === true;
    if (last !== undefined && last.ageMs < freshForMs && !isRefused)
      return { turn: { kind: "confirmed" }, last };
    const leftMs = claim === undefined ? 0 : (claim.heldUntil ?? claim.at + claimedForMs) - now;
    if (claim !== undefined && leftMs > 0)
      return { turn: { kind: "claimed", ageMs: now - claim.at, leftMs, isRefused }, last };
    this.#claimed.set(id, { at: now });
    return { turn: { kind: "ours" }, last };
  }

  confirm(feed: Feed, { lcut, ageMs, confirmedAgoMs = Number.POSITIVE_INFINITY }: Confirmation): void {
    this.#check();
    const known = this.#confirmed.get(feedId(feed));
    const at = this.#clock.elapsed() - ageMs;
    if (known !== undefined && (known.lcut > lcut || (known.lcut === lcut && known.at >= at))) return;
    this.#confirmed.set(feedId(feed), { lcut, at, confirmedAt: this.#clock.elapsed() - confirmedAgoMs });
  }

  refuse(feed: Feed): void {
    this.#check();
    this.#claimed.set(feedId(feed), { at: this.#clock.elapsed(), isRefused: true });
  }

  holdOff(feed: Feed, ms: number): void {
    this.#check();
    const now = this.#clock.elapsed();
    this.#claimed.set(feedId(feed), { at: now, heldUntil: now + ms });
  }

  announce(feed: Feed, version: VersionId): void {
    this.#check();
    if (this.losesAnnouncements) return;
    for (const listener of this.#listeners) listener(feedId(feed), version);
  }

  /** Returns one relay's channel. It loses what is announced while the relay is down. */
  connect(relay: { readonly isAlive: boolean }): FleetChannel {
    return {
      look: async (feed, look) => {
        this.looking++;
        try {
          if (this.latencyMs > 0) await this.#clock.sleep(this.latencyMs, new AbortController().signal);
          return this.look(feed, look);
        } finally {
          this.looking--;
        }
      },
      confirm: async (feed, confirmation) => this.confirm(feed, confirmation),
      refuse: async (feed) => this.refuse(feed),
      holdOff: async (feed, ms) => this.holdOff(feed, ms),
      announce: async (feed, version) => this.announce(feed, version),
      onAnnounced: (listener) =>
        this.#listeners.add((topic, version) => {
          if (relay.isAlive) listener(topic, version);
        }),
      toTopic: feedId,
    };
  }

  #check(): void {
    if (!this.works) throw new Error("the channel failed");
  }
}

/** A backup that can reject writes, as because of their size. */
class SimulatedBackup extends MemoryBackup {
  acceptsWrites = true;

  override async write(...args: Parameters<MemoryBackup["write"]>) {
    if (!this.acceptsWrites) throw new Error("the entry is too large");
    return super.write(...args);
  }
}

/** An upstream that all relays share; each may be cut off from it. */
export class SimulatedUpstream {
  lcut = 1;
  /** The checksum of its content; empty if the payload has none. */
  checksum = "";
  /** How long a response takes. */
  latencyMs = 0;
  readonly asked: { readonly feed: Feed; readonly atMs: number }[] = [];
}

export interface SimulatedRelayOptions {
  readonly intervalMs: number;
  /** The feeds that upstream has. */
  readonly feeds: readonly Feed[];
  readonly preload?: readonly Feed[];
  readonly maxKeys?: number;
  readonly clearOnUnauthorized?: boolean;
}

/** A relay of a fleet, from poller to backup, with a fake clock. */
export class SimulatedRelay implements AsyncDisposable {
  readonly store: SpecStore;
  readonly backup: SimulatedBackup;
  readonly source: ScriptedSource;
  readonly #poller: SpecPoller;
  readonly #writer: BackupWriter;
  readonly #stopping = new AbortController();
  readonly #clock: FakeClock;
  readonly #upstream: SimulatedUpstream;
  readonly #fleet: Fleet;
  readonly #acquirer: SpecAcquirer;
  readonly #preload: readonly Feed[];
  isAlive = true;
  isCutOff = false;
  /** The checksum that upstream sends to this relay instead of its own. */
  contentOfUpstream: string | undefined;

  constructor(
    clock: FakeClock,
    upstream: SimulatedUpstream,
    channel: SharedChannel,
    entries: Map<string, Snapshot>,
    { intervalMs, feeds, preload = feeds, maxKeys = 100, clearOnUnauthorized = false }: SimulatedRelayOptions,
  ) {
    const supervisor = strictSupervisor(clock);
    this.store = new SpecStore({ maxKeys });
    const { store } = this;
    const emit = () => {};
    this.source = new ScriptedSource(clock);
    this.#upstream = upstream;
    this.#clock = clock;
    for (const feed of feeds) this.answer(feed);
    this.backup = new SimulatedBackup(entries);
    const { backup } = this;
    const recovery = new SpecRecovery({
      backup,
      preparer: instantPreparer,
      store,
      clock,
      emit,
      emitBackup: emit,
    });
    const fleet = new Fleet({
      channel: channel.connect(this),
      store,
      recovery,
      clock,
      supervisor,
      intervalMs,
      emit,
      clearOnUnauthorized,
      signal: this.#stopping.signal,
    });
    const writer = new BackupWriter({ backup, recovery, store, clock, supervisor, emit, fleet });
    const refresher = new SpecRefresher({
      source: this.source,
      preparer: instantPreparer,
      store,
      clock,
      policy: { clearOnUnauthorized },
      maxInFlight: 64,
      intervalMs: () => intervalMs,
      maxKeys: 100,
      emit,
      backup: writer,
      signal: this.#stopping.signal,
    });
    const acquirer = new SpecAcquirer({
      refresher,
      store,
      clock,
      emit,
      recovery,
      fleet,
      writer,
      clearOnUnauthorized,
    });
    this.#writer = writer;
    this.#poller = new SpecPoller({ supervisor, store, acquirer, clock, intervalMs, preload });
    this.#poller.start();
    this.#fleet = fleet;
    this.#acquirer = acquirer;
    this.#preload = preload;
  }

  /** Makes upstream respond correctly to requests for the feed. */
  answer(feed: Feed): void {
    const [upstream, clock] = [this.#upstream, this.#clock];
    this.source.answer(feed, async (sinceTime, signal, _progressed, checksum) => {
      if (this.isCutOff) return failed("unreachable");
      upstream.asked.push({ feed, atMs: clock.elapsed() });
      await clock.sleep(upstream.latencyMs, signal);
      const has = { lcut: upstream.lcut, checksum: this.contentOfUpstream ?? upstream.checksum };
      const isOther = isOtherContent(has, { lcut: sinceTime, checksum });
      return has.lcut > sinceTime || isOther ? version(has.lcut, has.checksum) : { kind: "no_update" };
    });
  }

  /** As SIGHUP does. */
  pollEvery(intervalMs: number): void {
    this.#fleet.pollEvery(intervalMs);
    this.#poller.reconfigure({ intervalMs, preload: this.#preload });
  }

  /** A client's first request. */
  cacheMiss(feed: Feed): Promise<unknown> {
    return this.#acquirer.acquire(feed, "cache_miss");
  }

  /** As with kill -9: no claim is released. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.isAlive = false;
    this.#stopping.abort();
    await this.#poller[Symbol.asyncDispose]();
    await this.#writer[Symbol.asyncDispose]();
  }
}
