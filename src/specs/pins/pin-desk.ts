import { findSdkKeys } from "../../access/find-keys.ts";
import { maskSdkKey, parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import { withTimeout } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Feed } from "../feed.ts";
import type { VersionComparer } from "../payload/preparer.ts";
import type { HeldFeed, SpecStore } from "../store.ts";
import type { VersionDiff } from "../versions/diff.ts";
import type { KeptVersion, KeptVersions } from "../versions/kept-versions.ts";
import { aboveKnown, nextChange, type PinnedVersion, toForm } from "./pin-document.ts";
import type { PinEnforcer } from "./pin-enforcer.ts";
import { digestOf, type PinRecords } from "./pin-records.ts";
import { type ActivePin, isPinned, type Pins } from "./pins.ts";

interface PinDeskOptions {
  readonly pins: Pins;
  readonly records: PinRecords;
  readonly enforcer: PinEnforcer;
  readonly kept: KeptVersions;
  readonly comparer: VersionComparer;
  readonly store: SpecStore;
  readonly clock: Clock;
  /** Asks upstream for a held feed now, even if other relays have just done so. Rejects only on shutdown. */
  readonly ask: (feed: Feed) => Promise<unknown>;
  /** As in the options of Pins. */
  readonly configured: () => ReadonlyMap<SdkKey, number>;
}

/** Why nothing was done. `detail` is a sentence for people. */
export interface OrderRefusal {
  readonly kind: "unknown_key" | "unknown_version" | "conflict";
  readonly detail: string;
}

/** A pin with what this relay makes of it. */
export interface ListedPin {
  /** The SDK key, masked. */
  readonly key: string;
  readonly pin: ActivePin;
  /** The newest of the pinned versions, if feeds are pinned to different ones; undefined if no relay has had a feed of the key. */
  readonly lcut: number | undefined;
  /** The number of versions that are newer than the served one: of the feed with the most. */
  readonly heldBack: number;
  /** The feeds that serve another version than the pinned one, which is not to be had. */
  readonly missing: readonly string[];
  /** Whether the pin outlives the process. */
  readonly isStored: boolean;
}

/** What an operator says with a request. */
export interface Order {
  readonly sdkKey: SdkKey;
  /** The address of the client. */
  readonly by: string;
  /** Empty if none is given. */
  readonly reason: string;
}

/** What was, or would be, done with a feed. */
export interface FeedChange {
  readonly feed: Feed;
  /** As upstream calls the versions. */
  readonly from: number;
  readonly to: number;
  readonly servedLcut: number;
  readonly result: "changed" | "unchanged" | "version_not_kept" | "failed";
}

export interface PinOutcome {
  readonly kind: "done";
  readonly feeds: readonly FeedChange[];
  /** Whether the pin, or its release, outlives the process and reaches other relays. */
  readonly isStored: boolean;
}

export interface Comparison {
  readonly feed: Feed;
  readonly from: KeptVersion;
  readonly to: KeptVersion;
  readonly diff: VersionDiff;
}

/** A release waits this long for upstream. The request continues. */
const RELEASE_MS = 5_000;

const ALREADY_PINNED =
  "this SDK key is pinned already: name the version to go back to in `to`, or release the key";
const NOT_UNIQUE = "several SDK keys of this relay are shown like this one: name it whole";

/** What operators do with versions and pins. */
export class PinDesk {
  readonly #options: PinDeskOptions;

  constructor(options: PinDeskOptions) {
    this.#options = options;
  }

  /** Whether pins outlive the process. */
  get isStored(): boolean {
    return this.#options.records.isStored;
  }

  /** Finds the SDK key that an operator names: whole, or masked if this relay holds it. */
  findKey(named: string): SdkKey | OrderRefusal {
    const { store, records } = this.#options;
    const held = new Set(Array.from(store.held(), ({ feed }) => feed.sdkKey));
    const whole = parseSdkKey(named);
    const [found, other] = findSdkKeys(named, held);
    if (other !== undefined) return { kind: "conflict", detail: NOT_UNIQUE };
    if (found !== undefined) return found;
    if (whole !== undefined && records.find(whole) !== undefined) return whole;
    if ([...records.all.values()].some(({ key, pin }) => key === named && pin !== null)) {
      // Records have no whole keys.
      const detail =
        "this SDK key is pinned, but no client has asked this relay for it yet: name the key whole";
      return { kind: "unknown_key", detail };
    }
    const detail =
      "this relay does not hold an SDK key of this name: name it whole, or masked as the status page shows it, " +
      "and ask a relay that serves it";
    return { kind: "unknown_key", detail };
  }

  /** Returns the kept versions of every held feed of a key. */
  versions(sdkKey: SdkKey): readonly { readonly version: KeptVersion; readonly isServed: boolean }[] {
    const { enforcer, kept } = this.#options;
    return enforcer.heldFeeds(sdkKey).flatMap(({ feed }) => {
      const served = kept.served(feed);
      return kept.list(feed).map((version) => ({ version, isServed: version === served }));
    });
  }

  /** Returns the pin of a key with what this relay makes of it. */
  pinOf(sdkKey: SdkKey): ListedPin | undefined {
    const pin = this.#options.pins.find(sdkKey);
    if (pin === undefined) return undefined;
    const { enforcer, records } = this.#options;
    const isStored = pin.source === "config" || records.isStoredOf(sdkKey);
    return this.#describe(maskSdkKey(sdkKey), { pin, isStored }, enforcer.heldFeeds(sdkKey));
  }

  /** Returns all pins, also of keys that this relay does not hold. */
  pinnedKeys(): readonly ListedPin[] {
    const { store, records, pins, configured } = this.#options;
    const known = new Set([...Array.from(store.held(), ({ feed }) => feed.sdkKey), ...configured().keys()]);
    const pinned = [...known].filter((sdkKey) => pins.find(sdkKey) !== undefined);
    const shown = new Set(pinned.map(digestOf));
    const elsewhere = [...records.all].flatMap(([digest, { key, pin, feeds }]) => {
      if (pin === null || shown.has(digest)) return [];
      const active = { source: "operator", ...pin, to: pin.to, feeds } as const;
      return this.#describe(key, { pin: active, isStored: this.isStored }, []);
    });
    return [...pinned.flatMap((sdkKey) => this.pinOf(sdkKey) ?? []), ...elsewhere];
  }

  #describe(
    key: string,
    { pin, isStored }: Pick<ListedPin, "pin" | "isStored">,
    heldFeeds: readonly HeldFeed[],
  ): ListedPin {
    const { kept, pins } = this.#options;
    const lcuts = Object.values(pin.feeds).map(({ lcut }) => lcut);
    const isMissing = ({ snapshot }: HeldFeed) =>
      !isPinned(pin, snapshot) || (pin.to !== undefined && pins.upstreamIdOf(snapshot).lcut !== pin.to);
    return {
      ...{ key, pin, isStored, lcut: pin.to ?? lcuts.toSorted((a, b) => a - b).at(-1) },
      heldBack: Math.max(0, ...heldFeeds.map(({ feed }) => kept.heldBack(feed).length)),
      missing: heldFeeds.filter(isMissing).map(({ feed }) => toForm(feed)),
    };
  }

  /**
   * Compares two versions of a feed of the key: by default the served one and the one before it. Rejects if the Worker fails.
   */
  async compare(sdkKey: SdkKey, from?: number, to?: number): Promise<Comparison | OrderRefusal> {
    const { enforcer, kept, comparer } = this.#options;
    const find = (feed: Feed, lcut: number | undefined, otherwise: () => KeptVersion | undefined) =>
      lcut === undefined ? otherwise() : kept.find(feed, { lcut });
    for (const { feed } of enforcer.heldFeeds(sdkKey).toReversed()) {
      const newer = find(feed, to, () => kept.served(feed));
      const older = find(feed, from, () => newer && kept.list(feed)[kept.list(feed).indexOf(newer) - 1]);
      if (newer === undefined || older === undefined || newer.format !== older.format) continue;
      return { feed, from: older, to: newer, diff: await comparer.compare(older, newer) };
    }
    return this.#unknownVersion(sdkKey, "no feed of this key has both versions");
  }

  /** Serves an earlier version, and pins the key to it. By default, the version before the served one. */
  async rollBack(order: Order, to?: number, isDryRun = false): Promise<PinOutcome | OrderRefusal> {
    const { enforcer, kept, pins, clock } = this.#options;
    const { sdkKey, by, reason } = order;
    const refusal = await this.#refuse(sdkKey);
    if (refusal !== undefined) return refusal;
    // A repeated order must not go one version further back each time.
    if (to === undefined && pins.find(sdkKey) !== undefined)
      return { kind: "conflict", detail: ALREADY_PINNED };
    const heldFeeds = enforcer.heldFeeds(sdkKey);
    const previous = heldFeeds.flatMap(({ feed }) => kept.previous(feed)?.lcut ?? []);
    if (to === undefined && previous.length === 0)
      return this.#unknownVersion(sdkKey, "no version before the served one is kept");
    const target = to ?? Math.max(...previous);
    const feeds = heldFeeds.map((held) => this.#plan(held, target));
    if (feeds.every(({ result }) => result === "version_not_kept"))
      return this.#unknownVersion(sdkKey, `no feed of this key has a version ${target}`);
    if (isDryRun) return { kind: "done", feeds, isStored: this.isStored };
    const pin = { since: clock.now(), by, reason, to: target };
    const isStored = await this.#record(sdkKey, pin, heldFeeds, feeds);
    await enforcer.apply(sdkKey);
    return { kind: "done", feeds: feeds.map((planned) => this.#check(planned)), isStored };
  }

  /** What is served now may be newer than planned, if another relay has stored a version meanwhile. */
  #check(planned: FeedChange): FeedChange {
    const now = this.#options.store.peek(planned.feed)?.snapshot;
    if (planned.result !== "changed" || now === undefined) return planned;
    const isThere = this.#options.pins.upstreamIdOf(now).lcut === planned.to;
    return { ...planned, servedLcut: now.lcut, result: isThere ? "changed" : "failed" };
  }

  #plan(held: HeldFeed, target: number): FeedChange {
    const { enforcer, pins } = this.#options;
    const { feed, snapshot } = held;
    const from = pins.upstreamIdOf(snapshot).lcut;
    const unchanged = { feed, from, to: from, servedLcut: snapshot.lcut };
    if (from === target) return { ...unchanged, result: "unchanged" };
    const version = enforcer.findVersion(feed, { lcut: target });
    if (version === undefined) return { ...unchanged, result: "version_not_kept" };
    const servedLcut = enforcer.nextLcut(held, version.lcut);
    return { feed, from, to: version.lcut, servedLcut, result: "changed" };
  }

  /** Pins a key to what is served. */
  async hold({ sdkKey, by, reason }: Order, isDryRun = false): Promise<PinOutcome | OrderRefusal> {
    const { enforcer, pins, clock } = this.#options;
    const refusal = await this.#refuse(sdkKey);
    if (refusal !== undefined) return refusal;
    const heldFeeds = enforcer.heldFeeds(sdkKey);
    const feeds = heldFeeds.map(({ feed, snapshot }): FeedChange => {
      const { lcut } = pins.upstreamIdOf(snapshot);
      return { feed, from: lcut, to: lcut, servedLcut: snapshot.lcut, result: "unchanged" };
    });
    if (feeds.length === 0) return this.#unknownVersion(sdkKey, "this relay holds no version of this key");
    if (isDryRun) return { kind: "done", feeds, isStored: this.isStored };
    const pin = { since: clock.now(), by, reason };
    const isStored = await this.#record(sdkKey, pin, heldFeeds, feeds);
    return { kind: "done", feeds, isStored };
  }

  /** Releases a pin: the newest version is served at once, also if upstream sends no newer one. */
  async release({ sdkKey }: Order, isDryRun = false): Promise<PinOutcome | OrderRefusal> {
    const { enforcer, records, pins, clock, ask } = this.#options;
    const refusal = await this.#refuse(sdkKey);
    if (refusal !== undefined) return refusal;
    if (pins.find(sdkKey) === undefined) return { kind: "conflict", detail: "this SDK key is not pinned" };
    const heldFeeds = enforcer.heldFeeds(sdkKey);
    if (isDryRun)
      return {
        kind: "done",
        feeds: heldFeeds.map((held) => this.#planRelease(held)),
        isStored: this.isStored,
      };
    const before = heldFeeds.map(({ feed, snapshot }) => {
      return { feed, snapshot, from: pins.upstreamIdOf(snapshot).lcut };
    });
    const isStored = await records.change(
      sdkKey,
      (entry) => entry && { ...entry, pin: null, changedAt: nextChange(entry, clock.now()) },
    );
    await enforcer.apply(sdkKey);
    const asked = Promise.allSettled(before.map(({ feed }) => ask(feed)));
    await withTimeout(asked, RELEASE_MS, clock);
    const feeds = before.map(({ feed, snapshot, from }): FeedChange => {
      const now = this.#options.store.peek(feed)?.snapshot ?? snapshot;
      return {
        ...{ feed, from, to: pins.upstreamIdOf(now).lcut, servedLcut: now.lcut },
        result: now.lcut === snapshot.lcut ? "unchanged" : "changed",
      };
    });
    return { kind: "done", feeds, isStored };
  }

  #planRelease(held: HeldFeed): FeedChange {
    const { kept, enforcer, pins } = this.#options;
    const { feed, snapshot } = held;
    const from = pins.upstreamIdOf(snapshot).lcut;
    const newest = kept.heldBack(feed).at(-1);
    if (newest === undefined) return { feed, from, to: from, servedLcut: snapshot.lcut, result: "unchanged" };
    const servedLcut = enforcer.nextLcut(held, newest.lcut);
    return { feed, from, to: newest.lcut, servedLcut, result: "changed" };
  }

  /** Records what each feed is pinned to. A feed that lacks the version is pinned to what is served. */
  async #record(
    sdkKey: SdkKey,
    pin: { readonly since: number; readonly by: string; readonly reason: string; readonly to?: number },
    heldFeeds: readonly HeldFeed[],
    changes: readonly FeedChange[],
  ): Promise<boolean> {
    const { enforcer, records, pins } = this.#options;
    const versions = heldFeeds.map(({ feed, snapshot }, at): [string, PinnedVersion] => {
      const change = changes[at];
      const wanted =
        change?.result === "changed" ? enforcer.findVersion(feed, { lcut: change.to }) : undefined;
      const { lcut, checksum } = wanted ?? pins.upstreamIdOf(snapshot);
      return [toForm(feed), { lcut, checksum, servedLcut: change?.servedLcut ?? snapshot.lcut }];
    });
    return records.change(sdkKey, (entry) => ({
      ...{ key: entry?.key ?? maskSdkKey(sdkKey), pin },
      // Other relays may serve feeds of the key that this one does not hold: they roll back what they have.
      feeds: Object.fromEntries(
        versions.map(([form, version]) => [form, aboveKnown(version, entry?.feeds[form])]),
      ),
      changedAt: nextChange(entry, pin.since),
    }));
  }

  /** Reads what other relays have stored, which each order starts from. Resolves with undefined if the key may be pinned and released. */
  async #refuse(sdkKey: SdkKey): Promise<OrderRefusal | undefined> {
    const { records, pins } = this.#options;
    await records.readAgain();
    if (pins.find(sdkKey)?.source !== "config") return undefined;
    const detail = "this SDK key is pinned by the option --pin: change that, and reload the configuration";
    return { kind: "conflict", detail };
  }

  #unknownVersion(sdkKey: SdkKey, problem: string): OrderRefusal {
    const known = new Set(this.versions(sdkKey).map(({ version }) => version.lcut));
    const list =
      known.size === 0 ? "no versions of it" : `these: ${[...known].toSorted((a, b) => a - b).join(", ")}`;
    return { kind: "unknown_version", detail: `${problem}; this relay keeps ${list}` };
  }
}
