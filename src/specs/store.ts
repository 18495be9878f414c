import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock, Instant } from "../platform/clock.ts";
import type { ApiVersion, Feed, SpecFormat } from "./feed.ts";
import { isOtherContent, type Snapshot, supersedesFile } from "./snapshot.ts";

/** Called for every change, synchronously and in order. */
interface StoreListener {
  /** A feed is held from now on; it has its first snapshot. */
  added?(held: HeldFeed): void;
  /** A newer version is held, another content with the same lcut, or the first version (after `added`). */
  published?(held: HeldFeed): void;
  /** Upstream confirmed that the held version is the newest, at `held.confirmedAt`, which is later than before. */
  confirmed?(held: HeldFeed): void;
  /** The feed is no longer held; `held.ended` is the reason. */
  removed?(held: HeldFeed): void;
  /** `held.wasUsed` has become true. */
  used?(held: HeldFeed): void;
  /** `held.followers` has changed. */
  followed?(held: HeldFeed): void;
}

/** `held_back`: the key is pinned to another version. */
export type PublishOutcome = "published" | "not_newer" | "held_back" | "full" | "not_allowed" | "ended";

interface PublishOptions {
  /** As in {@link SpecStore.confirm}; undefined for a version that does not come from upstream. */
  readonly confirmed?: Instant | undefined;
  /** What was held when the version was requested. If that was removed meanwhile, the version does not bring the feed back. */
  readonly after?: HeldFeed | undefined;
  /** Whether the version may replace another content with its lcut: it is known to be the later one, which no lcut shows. */
  readonly replacesContent?: boolean;
}

interface SpecStoreOptions {
  readonly maxKeys: number;
  /** Keys that are never evicted. */
  readonly preloaded?: Iterable<SdkKey>;
  /** Versions of keys that are not allowed are rejected. By default, all keys are allowed. */
  readonly allows?: (sdkKey: SdkKey) => boolean;
  /** Returns whether a version may replace the held one. By default, every newer version may. */
  readonly admits?: (snapshot: Snapshot, held: Snapshot) => boolean;
}

interface KeyEntry {
  readonly feeds: (HeldFeed | undefined)[];
  lastUse: number;
}

/**
 * Holds the newest snapshot of every feed in memory. The lcut of a held feed never decreases; of several contents with one lcut, the
 * one that upstream sent last is held. Holds at most `maxKeys` SDK keys: one more evicts the least recently used key that is neither preloaded nor followed by a stream.
 */
export class SpecStore {
  readonly #keys = new Map<SdkKey, KeyEntry>();
  readonly #maxKeys: number;
  #preloaded: ReadonlySet<SdkKey>;
  readonly #allows: (sdkKey: SdkKey) => boolean;
  readonly #admits: (snapshot: Snapshot, held: Snapshot) => boolean;
  readonly #listeners = new Set<StoreListener>();
  #uses = 0;

  constructor({ maxKeys, preloaded, allows = () => true, admits = () => true }: SpecStoreOptions) {
    this.#maxKeys = maxKeys;
    this.#preloaded = new Set(preloaded);
    this.#allows = allows;
    this.#admits = admits;
  }

  /** Replaces the keys that are never evicted. */
  preload(sdkKeys: Iterable<SdkKey>): void {
    this.#preloaded = new Set(sdkKeys);
  }

  /** Counts as a use of the key. Called for every request. Accepts any text as the key: a text that is not a key is not held. */
  find(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined {
    const entry = this.#keys.get(sdkKey as SdkKey);
    if (entry === undefined) return undefined;
    entry.lastUse = ++this.#uses;
    const held = entry.feeds[toSlot(version, format)];
    if (held !== undefined && !held.wasUsed) {
      held.wasUsed = true;
      for (const listener of this.#listeners) listener.used?.(held);
    }
    return held;
  }

  /** As {@link find}, but does not count as a use of the key. */
  peek(feed: Feed): HeldFeed | undefined {
    return this.#keys.get(feed.sdkKey)?.feeds[toSlot(feed.version, feed.format)];
  }

  /** Returns whether any feed of the key is held. */
  holds(sdkKey: SdkKey): boolean {
    return this.#keys.has(sdkKey);
  }

  /** Returns whether feeds of the key may be held. */
  allows(sdkKey: SdkKey): boolean {
    return this.#allows(sdkKey);
  }

  *held(): Iterable<HeldFeed> {
    for (const entry of this.#keys.values()) {
      for (const held of entry.feeds) if (held !== undefined) yield held;
    }
  }

  get keyCount(): number {
    return this.#keys.size;
  }

  listen(listener: StoreListener): void {
    this.#listeners.add(listener);
  }

  publish(snapshot: Snapshot, options: PublishOptions = {}): PublishOutcome {
    const { confirmed, after } = options;
    if (!this.#allows(snapshot.feed.sdkKey)) return "not_allowed";
    const held = this.peek(snapshot.feed);
    if (held !== undefined) {
      return this.#admits(snapshot, held.snapshot) ? this.#replace(held, snapshot, options) : "held_back";
    }
    if (after?.ended !== undefined) return "ended";
    const entry = this.#keys.get(snapshot.feed.sdkKey) ?? this.#admit(snapshot.feed.sdkKey);
    if (entry === undefined) return "full";
    const onFollowed = () => {
      for (const listener of this.#listeners) listener.followed?.(added);
    };
    const added: HeldFeed = new HeldFeed(snapshot, confirmed, onFollowed);
    entry.feeds[toSlot(snapshot.feed.version, snapshot.feed.format)] = added;
    for (const listener of this.#listeners) listener.added?.(added);
    for (const listener of this.#listeners) listener.published?.(added);
    return "published";
  }

  #replace(held: HeldFeed, snapshot: Snapshot, options: PublishOptions): PublishOutcome {
    if (!held.replace(snapshot, options)) return "not_newer";
    for (const listener of this.#listeners) listener.published?.(held);
    return "published";
  }

  /**
   * Upstream has nothing newer than the held version. `confirmed`: when Statsig was known to have nothing newer; undefined if
   * upstream is a relay that does not know.
   */
  confirm(feed: Feed, confirmed: Instant | undefined): void {
    const held = this.peek(feed);
    if (!held?.confirm(confirmed)) return;
    for (const listener of this.#listeners) listener.confirmed?.(held);
  }

  /** Removes the feed and wakes the streams that follow it, which then end. */
  remove(feed: Feed, reason: FeedEnd): void {
    const held = this.peek(feed);
    const entry = this.#keys.get(feed.sdkKey);
    if (held === undefined || entry === undefined) return;
    entry.feeds[toSlot(feed.version, feed.format)] = undefined;
    if (entry.feeds.every((each) => each === undefined)) this.#keys.delete(feed.sdkKey);
    held.end(reason);
    for (const listener of this.#listeners) listener.removed?.(held);
  }

  /** As {@link remove}, for all feeds of a key. */
  removeKey(sdkKey: SdkKey, reason: FeedEnd): void {
    for (const held of this.#keys.get(sdkKey)?.feeds ?? []) {
      if (held !== undefined) this.remove(held.feed, reason);
    }
  }

  #admit(sdkKey: SdkKey): KeyEntry | undefined {
    if (this.#keys.size >= this.#maxKeys && !this.#evictOne()) return undefined;
    const entry: KeyEntry = { feeds: [undefined, undefined, undefined, undefined], lastUse: ++this.#uses };
    this.#keys.set(sdkKey, entry);
    return entry;
  }

  #evictOne(): boolean {
    let oldest: SdkKey | undefined;
    let oldestUse = Number.POSITIVE_INFINITY;
    for (const [sdkKey, entry] of this.#keys) {
      if (this.#preloaded.has(sdkKey) || entry.feeds.some((held) => held?.isFollowed)) continue;
      if (entry.lastUse < oldestUse) [oldest, oldestUse] = [sdkKey, entry.lastUse];
    }
    if (oldest === undefined) return false;
    this.removeKey(oldest, "evicted");
    return true;
  }
}

function toSlot(version: ApiVersion, format: SpecFormat): number {
  return (version === "v1" ? 0 : 2) + (format === "json" ? 0 : 1);
}

/** Called when the {@link HeldFeed} has changed. */
type Wake = () => void;

/** Why a feed is no longer held. */
export type FeedEnd = "unauthorized" | "evicted";

/** A feed in memory, with its newest version. */
export class HeldFeed {
  readonly feed: Feed;
  /** Whether a client has requested the feed since it is held. */
  wasUsed = false;
  #snapshot: Snapshot;
  #confirmed: Instant | undefined;
  /** When upstream rejected the SDK key, as in {@link Clock.elapsed}. */
  #revokedAt: number | undefined;
  #ended: FeedEnd | undefined;
  readonly #followers = new Set<Wake>();
  /** Streams of other threads, by the name of the thread. */
  readonly #followersElsewhere = new Map<string, number>();
  readonly #onFollowed: () => void;

  /**
   * `confirmed` as in {@link confirm}; undefined for a version that does not come from upstream. `onFollowed` is called when the
   * number of followers has changed.
   */
  constructor(snapshot: Snapshot, confirmed?: Instant, onFollowed: () => void = () => {}) {
    this.feed = snapshot.feed;
    this.#snapshot = snapshot;
    this.#confirmed = confirmed;
    this.#onFollowed = onFollowed;
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /**
   * When upstream last confirmed that the held version is the newest, ms since the Unix epoch; undefined if it has not yet. For
   * display only; see {@link confirmedAgoMs} for how long ago that was.
   */
  get confirmedAt(): number | undefined {
    return this.#confirmed?.at;
  }

  /** When upstream last confirmed that the held version is the newest; undefined if it has not yet. */
  get confirmed(): Instant | undefined {
    return this.#confirmed;
  }

  /** Returns how many ms ago upstream last confirmed the held version, even if the machine's clock was set since. */
  confirmedAgoMs(clock: Clock): number | undefined {
    return this.#confirmed && Math.max(0, clock.elapsed() - this.#confirmed.elapsed);
  }

  /**
   * True if upstream's last response, to this relay or another one of its fleet, was 401 or 403. The held version is still
   * served, but must not be written to a backup from which another relay may have removed it for that reason.
   */
  get isRevoked(): boolean {
    return this.#revokedAt !== undefined;
  }

  /** Why the feed is no longer held; undefined while it is. */
  get ended(): FeedEnd | undefined {
    return this.#ended;
  }

  get isFollowed(): boolean {
    return this.followers > 0;
  }

  /** Number of streams that follow the feed, on all threads. */
  get followers(): number {
    let followers = this.#followers.size;
    for (const elsewhere of this.#followersElsewhere.values()) followers += elsewhere;
    return followers;
  }

  /** Sets the number of streams of another thread that follow the feed. */
  followElsewhere(thread: string, followers: number): void {
    if (followers === 0) this.#followersElsewhere.delete(thread);
    else this.#followersElsewhere.set(thread, followers);
    this.#onFollowed();
  }

  /** Upstream responded 401 or 403. Lasts until it confirms the held version after that, or sends a newer one. */
  revoke(clock: Clock): void {
    this.#revokedAt = clock.elapsed();
  }

  /**
   * Upstream has nothing newer. `confirmed`: when Statsig was known to have nothing newer; undefined if upstream is a relay that
   * does not know. Returns false if a confirmation at least as recent is known already.
   */
  confirm(confirmed: Instant | undefined): boolean {
    if (confirmed === undefined || confirmed.elapsed >= (this.#revokedAt ?? 0)) this.#revokedAt = undefined;
    if (
      confirmed === undefined ||
      confirmed.elapsed <= (this.#confirmed?.elapsed ?? Number.NEGATIVE_INFINITY)
    )
      return false;
    this.#confirmed = confirmed;
    return true;
  }

  /**
   * Replaces the version and wakes the followers. Returns false, and changes nothing, if the version is neither newer nor, with
   * `replacesContent`, another content with the held lcut.
   */
  replace(snapshot: Snapshot, { confirmed, replacesContent = false }: PublishOptions = {}): boolean {
    const held = this.#snapshot;
    const isOther = replacesContent && (isOtherContent(snapshot, held) || supersedesFile(snapshot, held));
    if (snapshot.lcut <= held.lcut && !isOther) return false;
    this.#snapshot = snapshot;
    if (snapshot.source === "upstream") {
      this.#revokedAt = undefined;
      this.confirm(confirmed);
    }
    this.#wakeAll();
    return true;
  }

  end(reason: FeedEnd): void {
    this.#ended = reason;
    this.#wakeAll();
  }

  /** Calls `wake` on each change, and keeps the feed from being evicted. Returns an idempotent function that stops both. */
  follow(wake: Wake): () => void {
    this.#followers.add(wake);
    this.#onFollowed();
    return () => {
      if (this.#followers.delete(wake)) this.#onFollowed();
    };
  }

  #wakeAll(): void {
    // A copy: a follower may stop following when it is woken.
    for (const wake of [...this.#followers]) wake();
  }
}
