import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock, Instant } from "../platform/clock.ts";
import type { ApiVersion, Feed, SpecFormat } from "./feed.ts";
import type { Snapshot } from "./snapshot.ts";

/** Told of every change, synchronously and in order. */
interface StoreListener {
  /** A feed came to be held; its first snapshot is in it. */
  added?(held: HeldFeed): void;
  /** A newer version is held, or a first one; after `added`. */
  published?(held: HeldFeed): void;
  /** Upstream said that what is held is the newest, later than it was known; `held.confirmedAt` says when. */
  confirmed?(held: HeldFeed): void;
  /** `held.ended` says why. */
  removed?(held: HeldFeed): void;
}

export type PublishOutcome = "published" | "not_newer" | "full" | "not_allowed" | "ended";

interface PublishOptions {
  /** As for {@link SpecStore.confirm}; left out for a version that does not come from upstream. */
  readonly confirmed?: Instant | undefined;
  /** What was held when the version was asked for. If that has ended, the version does not bring the feed back. */
  readonly after?: HeldFeed | undefined;
}

interface SpecStoreOptions {
  readonly maxKeys: number;
  readonly pinned?: Iterable<SdkKey>;
  /** Nothing of a key that is not allowed is taken; all are when left out. */
  readonly allows?: (sdkKey: SdkKey) => boolean;
}

interface KeyEntry {
  readonly feeds: (HeldFeed | undefined)[];
  lastUse: number;
}

/**
 * The newest snapshot of every feed, in memory. An lcut never goes back. At most `maxKeys` SDK keys: for one
 * more, the least recently used goes that is neither pinned nor followed by a stream.
 */
export class SpecStore {
  readonly #keys = new Map<SdkKey, KeyEntry>();
  readonly #maxKeys: number;
  #pinned: ReadonlySet<SdkKey>;
  readonly #allows: (sdkKey: SdkKey) => boolean;
  readonly #listeners = new Set<StoreListener>();
  #uses = 0;

  constructor({ maxKeys, pinned, allows = () => true }: SpecStoreOptions) {
    this.#maxKeys = maxKeys;
    this.#pinned = new Set(pinned);
    this.#allows = allows;
  }

  /** From now on these stay, and no others. */
  pin(sdkKeys: Iterable<SdkKey>): void {
    this.#pinned = new Set(sdkKeys);
  }

  /** On the path of every request. Takes any text for the key: what is no SDK key is not held. */
  find(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined {
    const entry = this.#keys.get(sdkKey as SdkKey);
    if (entry === undefined) return undefined;
    entry.lastUse = ++this.#uses;
    return entry.feeds[slotOf(version, format)];
  }

  /** As {@link find}, but counts as no use of the key. */
  peek(feed: Feed): HeldFeed | undefined {
    return this.#keys.get(feed.sdkKey)?.feeds[slotOf(feed.version, feed.format)];
  }

  /** Whether anything of a key is held. */
  holds(sdkKey: SdkKey): boolean {
    return this.#keys.has(sdkKey);
  }

  /** Whether something of a key may be held. */
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

  publish(snapshot: Snapshot, { confirmed, after }: PublishOptions = {}): PublishOutcome {
    if (!this.#allows(snapshot.feed.sdkKey)) return "not_allowed";
    const held = this.peek(snapshot.feed);
    if (held !== undefined) return this.#replace(held, snapshot, confirmed);
    if (after?.ended !== undefined) return "ended";
    const entry = this.#keys.get(snapshot.feed.sdkKey) ?? this.#admit(snapshot.feed.sdkKey);
    if (entry === undefined) return "full";
    const added = new HeldFeed(snapshot, confirmed);
    entry.feeds[slotOf(snapshot.feed.version, snapshot.feed.format)] = added;
    for (const listener of this.#listeners) listener.added?.(added);
    for (const listener of this.#listeners) listener.published?.(added);
    return "published";
  }

  #replace(held: HeldFeed, snapshot: Snapshot, confirmed: Instant | undefined): PublishOutcome {
    if (!held.replace(snapshot, confirmed)) return "not_newer";
    for (const listener of this.#listeners) listener.published?.(held);
    return "published";
  }

  /**
   * Upstream has nothing newer than what is held. `confirmed`: when Statsig was known not to have; undefined if upstream is
   * a relay that can't say.
   */
  confirm(feed: Feed, confirmed: Instant | undefined): void {
    const held = this.peek(feed);
    if (!held?.confirm(confirmed)) return;
    for (const listener of this.#listeners) listener.confirmed?.(held);
  }

  /** Ends the feed's streams. */
  remove(feed: Feed, reason: FeedEnd): void {
    const held = this.peek(feed);
    const entry = this.#keys.get(feed.sdkKey);
    if (held === undefined || entry === undefined) return;
    entry.feeds[slotOf(feed.version, feed.format)] = undefined;
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
      if (this.#pinned.has(sdkKey) || entry.feeds.some((held) => held?.isFollowed)) continue;
      if (entry.lastUse < oldestUse) [oldest, oldestUse] = [sdkKey, entry.lastUse];
    }
    if (oldest === undefined) return false;
    this.removeKey(oldest, "evicted");
    return true;
  }
}

function slotOf(version: ApiVersion, format: SpecFormat): number {
  return (version === "v1" ? 0 : 2) + (format === "json" ? 0 : 1);
}

/** Called when there is something new to look at; what it is stands in the {@link HeldFeed}. */
type Wake = () => void;

/** Why a feed is no longer held. */
type FeedEnd = "unauthorized" | "evicted";

/** A feed of which a version is held. */
export class HeldFeed {
  readonly feed: Feed;
  #snapshot: Snapshot;
  #confirmed: Instant | undefined;
  /** When upstream said so, by {@link Clock.elapsed}. */
  #revokedAt: number | undefined;
  #ended: FeedEnd | undefined;
  readonly #followers = new Set<Wake>();

  /** `confirmed` as for {@link confirm}; left out for a version that does not come from upstream. */
  constructor(snapshot: Snapshot, confirmed?: Instant) {
    this.feed = snapshot.feed;
    this.#snapshot = snapshot;
    this.#confirmed = confirmed;
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /**
   * When upstream last said that what is held is the newest, ms since the Unix epoch; undefined before it did. To be shown:
   * for how long ago that was, see {@link confirmedAgoMs}.
   */
  get confirmedAt(): number | undefined {
    return this.#confirmed?.at;
  }

  /** How long ago upstream last said that what is held is the newest, whatever was done to the machine's clock since. */
  confirmedAgoMs(clock: Clock): number | undefined {
    return this.#confirmed && Math.max(0, clock.elapsed() - this.#confirmed.elapsed);
  }

  /**
   * Upstream's last answer to this relay, or to another one of its fleet, was 401 or 403. What is held is still served, but must not be written where another
   * relay may have deleted it for the same reason.
   */
  get isRevoked(): boolean {
    return this.#revokedAt !== undefined;
  }

  /** Why it is no longer held; undefined as long as it is. */
  get ended(): FeedEnd | undefined {
    return this.#ended;
  }

  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  /** How many follow: each is a stream. */
  get followers(): number {
    return this.#followers.size;
  }

  /** Upstream says 401 or 403. Lasts until it confirms what is held after that, or sends a newer version. */
  revoke(clock: Clock): void {
    this.#revokedAt = clock.elapsed();
  }

  /**
   * Upstream has nothing newer. `confirmed`: when Statsig was known not to have; undefined if upstream is a relay that can't
   * say. False if that tells nothing new.
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

  /** Takes a newer version and wakes the followers. False, and nothing changed, where it is not newer. */
  replace(snapshot: Snapshot, confirmed?: Instant): boolean {
    if (snapshot.lcut <= this.#snapshot.lcut) return false;
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

  /** Whoever follows keeps the feed from being evicted. Call what is returned to stop; twice does no harm. */
  follow(wake: Wake): () => void {
    this.#followers.add(wake);
    return () => this.#followers.delete(wake);
  }

  #wakeAll(): void {
    for (const wake of [...this.#followers]) wake();
  }
}

/** Replaced versions below this size are freed in time by the garbage collector. */
const LARGE_BYTES = 1024 * 1024;

/** By then, responses that still send the replaced version have ended. */
const FREE_AFTER_MS = 250;

/**
 * Frees the memory of each version that a large one replaces. The garbage collector alone does so much later: it sees a small
 * heap, but not the buffers that belong to it.
 */
export function freeReplacedVersions(store: SpecStore): void {
  let isScheduled = false;
  const free = () => {
    isScheduled = false;
    Bun.gc(true);
  };
  store.listen({
    published: ({ snapshot }) => {
      if (snapshot.bytes.length < LARGE_BYTES || isScheduled) return;
      isScheduled = true;
      setTimeout(free, FREE_AFTER_MS).unref();
    },
  });
}
