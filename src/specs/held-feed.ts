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
  #confirmedAt: number | undefined;
  #isRevoked = false;
  #ended: FeedEnd | undefined;
  readonly #followers = new Set<Wake>();

  constructor(snapshot: Snapshot) {
    this.feed = snapshot.feed;
    this.#snapshot = snapshot;
    if (snapshot.source === "upstream") this.confirm(snapshot.receivedAt);
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** When upstream last said that what is held is the newest, ms since the Unix epoch; undefined before it did. */
  get confirmedAt(): number | undefined {
    return this.#confirmedAt;
  }

  /**
   * Upstream's last answer to this relay was 401 or 403. What is held is still served, but must not be written where another
   * relay may have deleted it for the same reason.
   */
  get isRevoked(): boolean {
    return this.#isRevoked;
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

  /** Upstream said 401 or 403. Lasts until it confirms what is held, or sends a newer version. */
  revoke(): void {
    this.#isRevoked = true;
  }

  confirm(at: number): void {
    this.#isRevoked = false;
    this.#confirmedAt = Math.max(this.#confirmedAt ?? 0, at);
  }

  /** Takes a newer version and wakes the followers. False, and nothing changed, where it is not newer. */
  replace(snapshot: Snapshot): boolean {
    if (snapshot.lcut <= this.#snapshot.lcut) return false;
    this.#snapshot = snapshot;
    if (snapshot.source === "upstream") this.confirm(snapshot.receivedAt);
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
