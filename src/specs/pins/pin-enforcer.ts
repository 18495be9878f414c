import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { NewestVersion } from "../decide.ts";
import { type Feed, feedId, listFeeds } from "../feed.ts";
import type { SpecRecovery } from "../recovery.ts";
import type { PreparedPayload, Snapshot } from "../snapshot.ts";
import type { HeldFeed, SpecStore } from "../store.ts";
import type { KeptVersion, KeptVersions } from "../versions/kept-versions.ts";
import { type PinEntry, type PinnedVersion, toForm } from "./pin-document.ts";
import { digestOf, FOLLOW_UP_MS, type PinRecords } from "./pin-records.ts";
import { type ActivePin, isPinned, type Pins } from "./pins.ts";
import type { Republisher } from "./republish.ts";
import type { Received, VersionGate } from "./version-gate.ts";

interface PinEnforcerOptions {
  readonly pins: Pins;
  readonly records: PinRecords;
  readonly kept: KeptVersions;
  readonly republisher: Republisher;
  readonly recovery: Pick<SpecRecovery, "recover"> | undefined;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
}

/**
 * A version by `--pin` is published above a newer one of another relay this often. Relays whose `--pin` differ, as during a
 * deployment, would otherwise publish in turns, and clients would load each version.
 */
const ABOVE_OTHERS_EVERY_MS = 60_000;

/** `changedAt` of the pin that work began with: what an operator does meanwhile takes precedence. Undefined if there was none. */
type LastChange = number | undefined;

/** Keeps pinned keys at their version on this relay, and serves upstream's newest version after the release. */
export class PinEnforcer implements VersionGate {
  readonly #options: PinEnforcerOptions;
  /** The last work of each key: one at a time. */
  readonly #turns = new Map<SdkKey, Promise<void>>();
  /** The lcut of versions in the backup that must not be served: what is to replace them needs a later one. */
  readonly #overwritten = new Map<string, number>();
  /** When feeds of keys with `--pin` were published above such a version last, as in {@link Clock.elapsed}. */
  readonly #publishedAboveAt = new Map<string, number>();

  constructor(options: PinEnforcerOptions) {
    this.#options = options;
    const { store, records } = options;
    store.listen({
      published: ({ feed }) => this.#checkSoon(feed.sdkKey),
      removed: ({ feed }) => {
        this.#overwritten.delete(feedId(feed));
        this.#publishedAboveAt.delete(feedId(feed));
      },
    });
    records.listen((digests) => this.check(new Set(digests)));
  }

  /** The backup has a newer version that is not the pinned one. */
  overwritten({ feed, lcut }: Snapshot): void {
    const id = feedId(feed);
    this.#overwritten.set(id, Math.max(lcut, this.#overwritten.get(id) ?? 0));
    void this.#options.supervisor.task("pins", () => this.apply(feed.sdkKey));
  }

  newest(held: Snapshot): NewestVersion {
    return this.#options.pins.newest(held);
  }

  async receive(feed: Feed, payload: PreparedPayload): Promise<Received> {
    const { records, pins, store, kept, clock, supervisor } = this.#options;
    await records.readAgain();
    try {
      if (pins.find(feed.sdkKey) !== undefined) {
        const first = store.peek(feed) === undefined ? await this.#findFirst(feed) : undefined;
        if (first !== undefined) return first;
        const held = store.peek(feed)?.snapshot;
        const snapshot: Snapshot = { ...payload, feed, source: "upstream", receivedAt: clock.now() };
        if (held !== undefined && !pins.admits(snapshot, held)) {
          kept.holdBack(feed, payload, snapshot.receivedAt);
          return { kind: "held_back" };
        }
      }
      const held = store.peek(feed)?.snapshot;
      if (held?.original === undefined || payload.lcut > held.lcut) return { kind: "publish", payload };
      return await this.#renew(feed, payload, held);
    } catch (error) {
      supervisor.caught("pins", error);
      return { kind: "held_back" };
    }
  }

  /** Brings the held feeds of a key to the pinned version or, if it is not pinned, to the newest one. Never rejects. */
  apply(sdkKey: SdkKey): Promise<void> {
    const { supervisor } = this.#options;
    const before = this.#turns.get(sdkKey) ?? Promise.resolve();
    const turn = before.then(() => supervisor.task("pins", () => this.#applyNow(sdkKey)));
    this.#turns.set(sdkKey, turn);
    const forget = () => {
      if (this.#turns.get(sdkKey) === turn) this.#turns.delete(sdkKey);
    };
    return turn.then(forget);
  }

  #checkSoon(sdkKey: SdkKey): void {
    if (this.#options.pins.find(sdkKey) !== undefined && !this.isSettled(sdkKey)) void this.apply(sdkKey);
  }

  /**
   * Brings keys to their version: pins may have changed, and other relays may have stored something else. `changed` has the digests
   * of keys whose pins have changed.
   */
  check(changed: ReadonlySet<string> = new Set()): void {
    const { store, pins } = this.#options;
    const sdkKeys = new Set(Array.from(store.held(), ({ feed }) => feed.sdkKey));
    for (const sdkKey of sdkKeys) {
      const isDue = pins.find(sdkKey) !== undefined || this.#isBehind(sdkKey);
      const isBusy = this.#turns.has(sdkKey);
      if ((isDue && !isBusy) || (changed.size > 0 && changed.has(digestOf(sdkKey)))) void this.apply(sdkKey);
    }
  }

  /** Whether every held feed of a pinned key has a version that the pin names. */
  isSettled(sdkKey: SdkKey): boolean {
    const { pins } = this.#options;
    const pin = pins.find(sdkKey);
    return pin === undefined || this.heldFeeds(sdkKey).every(({ snapshot }) => isPinned(pin, snapshot));
  }

  #isBehind(sdkKey: SdkKey): boolean {
    return this.heldFeeds(sdkKey).some((held) => this.#isFeedBehind(held));
  }

  /** Whether this relay holds back newer versions of a feed, or another relay has published a version of it under a newer lcut. */
  #isFeedBehind({ feed, snapshot }: HeldFeed): boolean {
    const { kept, records } = this.#options;
    const recorded = records.find(feed.sdkKey)?.feeds[toForm(feed)];
    return kept.heldBack(feed).length > 0 || (recorded?.servedLcut ?? 0) > snapshot.lcut;
  }

  heldFeeds(sdkKey: SdkKey): readonly HeldFeed[] {
    return listFeeds(sdkKey).flatMap((feed) => this.#options.store.peek(feed) ?? []);
  }

  async #applyNow(sdkKey: SdkKey): Promise<void> {
    const { pins, recovery } = this.#options;
    for (const held of this.heldFeeds(sdkKey)) {
      const pin = pins.find(sdkKey);
      const order = this.#lastChange(sdkKey);
      if (pin === undefined) await this.#release(held, order);
      else if (!isPinned(pin, held.snapshot) || this.#takeOverwritten(pin, held))
        await this.#bringTo(pin, held, order);
    }
    if (pins.find(sdkKey) === undefined) return;
    // A relay that did not know of the pin may have stored a newer version, and others may have only that.
    for (const held of this.heldFeeds(sdkKey)) await recovery?.recover(held.feed, held);
  }

  /** Returns whether the backup has a newer version, above which the pinned one is to be published now. */
  #takeOverwritten({ source }: ActivePin, { feed, snapshot }: HeldFeed): boolean {
    const id = feedId(feed);
    if ((this.#overwritten.get(id) ?? 0) <= snapshot.lcut) return false;
    // The other relays know of what operators pinned, or will soon.
    if (source === "operator") return true;
    const now = this.#options.clock.elapsed();
    if (now - (this.#publishedAboveAt.get(id) ?? Number.NEGATIVE_INFINITY) < ABOVE_OTHERS_EVERY_MS)
      return false;
    this.#publishedAboveAt.set(id, now);
    return true;
  }

  /** Returns whether the backup may store a version: it may have the pinned one, which this relay has not read yet. */
  async mayStore(snapshot: Snapshot): Promise<boolean> {
    const { records, pins } = this.#options;
    await records.readAgain();
    const pin = pins.find(snapshot.feed.sdkKey);
    return pin === undefined || pin.source === "config" || isPinned(pin, snapshot);
  }

  /** Takes the pinned version from what this relay keeps, or else from the backup, where another relay may have stored it. */
  async #bringTo(pin: ActivePin, held: HeldFeed, order: LastChange): Promise<void> {
    const { recovery, kept } = this.#options;
    const { feed } = held;
    const recorded = pin.feeds[toForm(feed)];
    const wanted = pin.source === "config" && recorded?.lcut !== pin.to ? undefined : recorded;
    const version = this.findVersion(feed, wanted ?? { lcut: pin.to ?? -1 });
    if (version !== undefined) return this.#publishAs(held, version, { agreed: wanted?.servedLcut, order });
    await recovery?.recover(feed, held);
    const isThere = isPinned(pin, held.snapshot);
    // Nothing is known that this feed could go back to: what is served stays.
    if (isThere || pin.source === "config" || wanted !== undefined) return;
    const current = kept.served(feed);
    if (current !== undefined)
      await this.#record(feed, { ...current, servedLcut: held.snapshot.lcut }, order);
  }

  /** Returns the kept version of a feed or, for protobuf, of the same version as JSON, which every client can read. */
  findVersion(
    feed: Feed,
    wanted: { readonly lcut: number; readonly checksum?: string },
  ): KeptVersion | undefined {
    const { kept } = this.#options;
    return (
      kept.find(feed, wanted) ??
      (feed.format === "proto" ? kept.find({ ...feed, format: "json" }, wanted) : undefined)
    );
  }

  /** Serves the newest version that was held back, if upstream or another relay has nothing newer. */
  async #release(held: HeldFeed, order: LastChange): Promise<void> {
    const { kept, recovery } = this.#options;
    const { feed } = held;
    if (!this.#isFeedBehind(held)) return;
    await recovery?.recover(feed, held);
    const newest = kept.heldBack(feed).at(-1);
    if (newest !== undefined) await this.#publishAs(held, newest, { order });
  }

  /** Publishes a kept version, under a lcut that every client takes for newer than what it has. */
  async #publishAs(
    held: HeldFeed,
    version: KeptVersion,
    { agreed, order }: { readonly agreed?: number | undefined; readonly order: LastChange },
  ): Promise<void> {
    const { republisher } = this.#options;
    const { feed } = held;
    const servedLcut = Math.max(this.nextLcut(held, version.lcut), agreed ?? 0);
    const snapshot = await republisher.prepare(feed, version, servedLcut);
    // Recorded first, so that other relays recognize it when they find it in the backup.
    await this.#record(feed, { ...version, servedLcut }, order);
    const isOutdated = order !== undefined && this.#lastChange(feed.sdkKey) !== order;
    if (!isOutdated) await republisher.publish(snapshot);
  }

  #lastChange(sdkKey: SdkKey): LastChange {
    return this.#options.records.find(sdkKey)?.changedAt;
  }

  /** Returns the lcut itself if it is newer than all that clients or the backup have, and otherwise the next one that is. */
  nextLcut({ feed, snapshot }: HeldFeed, lcut: number): number {
    const latest = Math.max(snapshot.lcut, this.#overwritten.get(feedId(feed)) ?? 0);
    return lcut > latest ? lcut : latest + 1;
  }

  /** Records the version of a feed, unless an operator has done something else since `order`. */
  async #record(feed: Feed, { lcut, checksum, servedLcut }: PinnedVersion, order: LastChange): Promise<void> {
    const { records, clock } = this.#options;
    const form = toForm(feed);
    const known = records.find(feed.sdkKey)?.feeds[form];
    if (known?.servedLcut === servedLcut && known.lcut === lcut && known.checksum === checksum) return;
    const change = (entry: PinEntry | undefined): PinEntry | undefined => {
      if (entry?.changedAt !== order) return undefined;
      // Relays that carry out an order at the same time may choose several lcuts. The latest is what clients and the backup end at.
      if ((entry?.feeds[form]?.servedLcut ?? 0) > servedLcut) return undefined;
      const base: PinEntry = entry ?? {
        ...{ key: maskSdkKey(feed.sdkKey), pin: null, feeds: {} },
        changedAt: clock.now(),
      };
      return { ...base, feeds: { ...base.feeds, [form]: { lcut, checksum, servedLcut } } };
    };
    await records.change(feed.sdkKey, change, FOLLOW_UP_MS);
  }

  /** A version from upstream whose lcut is not newer than that of the served one, which was published again. */
  async #renew(feed: Feed, payload: PreparedPayload, held: Snapshot): Promise<Received> {
    const { republisher } = this.#options;
    const order = this.#lastChange(feed.sdkKey);
    const { lcut, checksum, bytes: body, format } = payload;
    const contentEncoding = format === "proto" ? "statsig-br" : "";
    const version = { lcut, checksum, body, contentEncoding, format, source: "upstream" } as const;
    const snapshot = await republisher.prepare(feed, version, held.lcut + 1);
    await this.#record(feed, { lcut, checksum, servedLcut: snapshot.lcut }, order);
    return { kind: "publish", payload: snapshot, original: snapshot.original };
  }

  /**
   * Returns the first version of a feed whose key is pinned: the pinned one from the backup, or for protobuf the pinned JSON. Returns
   * undefined if neither is to be had: the newest version is better than none.
   */
  async #findFirst(feed: Feed): Promise<Received | undefined> {
    const { recovery, store, republisher, kept } = this.#options;
    const order = this.#lastChange(feed.sdkKey);
    await recovery?.recover(feed);
    if (store.peek(feed) !== undefined || feed.format === "json") return undefined;
    const json = kept.served({ ...feed, format: "json" });
    if (json?.servedLcut === undefined) return undefined;
    const snapshot = await republisher.prepare(feed, json, json.servedLcut);
    await this.#record(feed, { ...json, servedLcut: snapshot.lcut }, order);
    return { kind: "publish", payload: snapshot, original: snapshot.original };
  }
}
