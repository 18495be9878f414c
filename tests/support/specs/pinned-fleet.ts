import type { SdkKey } from "../../../src/access/sdk-key.ts";
import { type Clock, systemClock } from "../../../src/platform/clock.ts";
import { openPins } from "../../../src/relay/pins.ts";
import { BackupWriter } from "../../../src/specs/backup-writer.ts";
import type { Feed } from "../../../src/specs/feed.ts";
import type { PinDesk } from "../../../src/specs/pins/pin-desk.ts";
import type { PinStorage } from "../../../src/specs/pins/pin-storage.ts";
import { SpecRecovery } from "../../../src/specs/recovery.ts";
import { SpecRefresher } from "../../../src/specs/refresh.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import type { FetchOutcome, SpecSource } from "../../../src/specs/source.ts";
import { SpecStore } from "../../../src/specs/store.ts";
import { strictSupervisor } from "../common/supervisors.ts";
import { MemoryBackup } from "./memory-backup.ts";
import { instantPreparer } from "./spec-flow.ts";

/** Keeps pins in a variable, which several relays may share. */
export class MemoryPins implements PinStorage {
  text: string | undefined;
  isFailing = false;

  async read(): Promise<string | undefined> {
    this.#check();
    return this.text;
  }

  async replace(expected: string | undefined, text: string): Promise<boolean> {
    this.#check();
    if (this.text !== expected) return false;
    this.text = text;
    return true;
  }

  #check(): void {
    if (this.isFailing) throw new Error("the storage fails");
  }
}

/** An upstream with one version of every feed. */
class OneVersionSource implements SpecSource {
  lcut = 1_000;
  /** Requests that wait for {@link answerAll}. */
  readonly #waiting: (() => void)[] = [];
  isHanging = false;

  /** The answer is that of the time of the request, however late it comes. */
  async fetchSpecs(_feed: Feed, held: { readonly lcut: number }): Promise<FetchOutcome> {
    const { lcut } = this;
    if (this.isHanging) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (held.lcut >= lcut) return { kind: "no_update" };
    const body = new TextEncoder().encode(
      JSON.stringify({ time: lcut, checksum: `content ${lcut}`, content: lcut }),
    );
    const raw = { body, contentEncoding: "", format: "json", headerLcut: lcut, sdkKeyHash: "" } as const;
    return { kind: "payload", raw };
  }

  async answerAll(): Promise<void> {
    this.isHanging = false;
    for (const answer of this.#waiting.splice(0)) answer();
  }
}

/** A clock on which no two things happen at the same time, as with operators. */
function strictlyLater(): Clock {
  let latest = 0;
  const now = () => {
    latest = Math.max(latest + 1, Date.now());
    return latest;
  };
  return { ...systemClock, now };
}

export interface FleetPlaces {
  readonly clock: Clock;
  readonly source: OneVersionSource;
  readonly entries: Map<string, Snapshot>;
  readonly pins: MemoryPins;
}

/** Returns what the relays of a fleet share. */
export function openPlaces(): FleetPlaces {
  return {
    clock: strictlyLater(),
    source: new OneVersionSource(),
    entries: new Map(),
    pins: new MemoryPins(),
  };
}

/** A relay of a fleet that shares a backup and pins, without network, Worker and polling loop. */
export class PinnedRelay implements AsyncDisposable {
  readonly store: SpecStore;
  readonly desk: PinDesk;
  readonly #feed: Feed;
  readonly #refresher: SpecRefresher;
  readonly #pins: ReturnType<typeof openPins>;
  readonly #running = new AsyncDisposableStack();
  readonly #check: (sdkKey: SdkKey) => Promise<void>;
  /** The lcuts that clients have got, in their order. */
  readonly served: number[] = [];

  constructor(feed: Feed, { clock, source, entries, pins: storage }: FleetPlaces, perFeed = 5) {
    const supervisor = strictSupervisor();
    const emit = () => {};
    this.#feed = feed;
    const store = new SpecStore({
      maxKeys: 10,
      admits: (snapshot, held) => this.#pins.pins.admits(snapshot, held),
    });
    this.store = store;
    store.listen({ published: ({ snapshot }) => this.served.push(snapshot.lcut) });
    this.#pins = this.#running.use(
      openPins(
        { versionHistory: { perFeed, maxBytes: 1_000_000 } },
        {
          ...{ store, clock, supervisor, emit, backup: { pins: storage }, freed: () => {} },
          live: () => ({ intervalMs: 1_000_000, pins: new Map() }),
        },
      ),
    );
    const backup = new MemoryBackup(entries);
    const { originalOf, mayStore } = this.#pins;
    const recovery = new SpecRecovery({
      ...{ backup, preparer: instantPreparer, store, clock, emit, emitBackup: emit, originalOf },
    });
    const writer = this.#running.use(
      new BackupWriter({ backup, recovery, store, clock, supervisor, emit, mayStore }),
    );
    const { enforcer, desk } = this.#pins.start({
      preparer: instantPreparer,
      comparer: { compare: () => Promise.reject(new Error("not compared here")) },
      findKnown: async () => undefined,
      recovery,
      writer,
      ask: (asked) => this.#refresher.refresh(asked, "cache_miss"),
    });
    this.desk = desk;
    this.#check = (sdkKey) => enforcer.apply(sdkKey);
    this.#refresher = new SpecRefresher({
      ...{ source, preparer: instantPreparer, store, clock, emit, backup: writer, gate: enforcer },
      policy: { clearOnUnauthorized: false },
      maxInFlight: 10,
      intervalMs: () => 1_000_000,
      maxKeys: 10,
      signal: new AbortController().signal,
    });
  }

  /** Asks upstream, as the first client or a poll does. */
  async poll(): Promise<void> {
    await this.#refresher.refresh(this.#feed, "cache_miss");
  }

  /** Reads the pins and brings the feed to its version, as happens once per interval. */
  async readPins(): Promise<void> {
    await this.#pins.records.readAgain();
    await this.#check(this.#feed.sdkKey);
  }

  /** Returns the content that is served, as its body has it. */
  get content(): number | undefined {
    const held = this.store.peek(this.#feed);
    return held && JSON.parse(new TextDecoder().decode(held.snapshot.bytes)).content;
  }

  get lcut(): number {
    return this.store.peek(this.#feed)?.snapshot.lcut ?? -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.disposeAsync();
  }
}
