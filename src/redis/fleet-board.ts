import type { Feed } from "../specs/feed.ts";
import type { Confirmation, FleetBoard, KnownConfirmation } from "../specs/fleet.ts";
import { feedDigest } from "./keys.ts";
import type { RedisConfirmations } from "./redis-confirmations.ts";
import type { RedisNotices } from "./redis-notices.ts";

/** The board of a fleet whose relays share a Redis. */
export class RedisFleetBoard implements FleetBoard {
  readonly #confirmations: RedisConfirmations;
  readonly #notices: RedisNotices;

  constructor(confirmations: RedisConfirmations, notices: RedisNotices) {
    this.#confirmations = confirmations;
    this.#notices = notices;
  }

  confirm(feed: Feed, { lcut, ttlMs }: Confirmation): Promise<void> {
    return this.#confirmations.confirm(feedDigest(feed), lcut, ttlMs);
  }

  confirmation(feed: Feed): Promise<KnownConfirmation | undefined> {
    return this.#confirmations.read(feedDigest(feed));
  }

  announce(feed: Feed, lcut: number): Promise<void> {
    return this.#notices.publish(feedDigest(feed), lcut);
  }

  onAnnounced(listener: (topic: string, lcut: number) => void): void {
    this.#notices.listen(listener);
  }

  topicOf(feed: Feed): string {
    return feedDigest(feed);
  }
}
