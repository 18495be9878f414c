import type { Clock } from "../../platform/clock.ts";
import { type Feed, feedId } from "../../specs/feed.ts";

/** A feed that gRPC clients ask for, and do not get because it is too large. */
interface OversizedFeed {
  readonly feed: Feed;
  /** The size of the message. */
  readonly bytes: number;
  /** When the first client was refused, in ms since the Unix epoch. */
  readonly since: number;
}

interface Refused extends OversizedFeed {
  /** When the last client was refused, by `Clock.elapsed`. */
  readonly refusedAt: number;
}

/** Without a refused client for this time, none asks over gRPC any more. Legacy SDKs wait up to 21 min between two attempts. */
const FORGET_MS = 30 * 60_000;

/** Which feeds are too large for the gRPC clients that ask for them. */
export class OversizedFeeds {
  readonly #clock: Clock;
  readonly #refused = new Map<string, Refused>();
  #isTooLarge: (feed: Feed) => boolean = () => true;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sets how to look up whether the newest version of a feed is too large. */
  checkedBy(isTooLarge: (feed: Feed) => boolean): void {
    this.#isTooLarge = isTooLarge;
  }

  /** Records that a client was refused. Returns whether it is the first one since the feed grew too large. */
  add(feed: Feed, bytes: number): boolean {
    // Another thread reports it after a while, when the feed may be smaller or gone.
    if (!this.#isTooLarge(feed)) return false;
    const known = this.find(feed);
    const since = known?.since ?? this.#clock.now();
    this.#refused.set(feedId(feed), { feed, bytes, since, refusedAt: this.#clock.elapsed() });
    return known === undefined;
  }

  /** Forgets the feed if it is not too large any more, and returns whether it was. */
  update(feed: Feed): boolean {
    return !this.#isTooLarge(feed) && this.#refused.delete(feedId(feed));
  }

  /** As {@link update}, for all feeds. Returns those that it has forgotten. */
  updateAll(): readonly Feed[] {
    return [...this.#refused.values()].map(({ feed }) => feed).filter((feed) => this.update(feed));
  }

  find(feed: Feed): OversizedFeed | undefined {
    const id = feedId(feed);
    const refused = this.#refused.get(id);
    if (refused === undefined || this.#isCurrent(refused)) return refused;
    this.#refused.delete(id);
    return undefined;
  }

  /** Returns all of them, the longest refused first. */
  list(): readonly OversizedFeed[] {
    const current = [...this.#refused.values()].filter((refused) => this.#isCurrent(refused));
    return current.sort((a, b) => a.since - b.since);
  }

  #isCurrent({ feed, refusedAt }: Refused): boolean {
    return this.#clock.elapsed() - refusedAt < FORGET_MS && this.#isTooLarge(feed);
  }
}
