import type { Clock, Instant } from "../clock.ts";
import type { Feed } from "./feed.ts";
import type { Snapshot } from "./snapshot.ts";

/** Called when there is something new to look at; what it is stands in the {@link HeldFeed}. */
export type Wake = () => void;

/** Why a feed is no longer held. */
export type FeedEnd = "unauthorized" | "evicted";

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
