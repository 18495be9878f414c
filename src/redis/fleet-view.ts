import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Feed } from "../specs/feed.ts";
import { toRedisFailure } from "./errors.ts";
import type { PresentRelay, RedisPresence } from "./presence.ts";

/** The fleet as this relay last saw it in Redis. */
export interface FleetSeen {
  readonly id: string;
  readonly relays: readonly PresentRelay[];
  /** The relay that last claimed each feed, by `feedId`. */
  readonly claimants: ReadonlyMap<string, string>;
  /** When it was read, by `Clock.elapsed`; undefined if it never was. */
  readonly readAt: number | undefined;
  /** Why the last reading failed; undefined if it did not. */
  readonly failure: string | undefined;
}

/** Readers within this time share what was read. */
const SHARED_FOR_MS = 3_000;

/** The status waits this long for Redis, and then shows what was read before. */
const WAIT_MS = 200;

/** Reads the fleet from Redis only when the status is requested, and not often. */
export class FleetView {
  readonly #presence: RedisPresence;
  readonly #clock: Clock;
  #seen: FleetSeen;
  #reading: Promise<void> | undefined;
  #begunAt = Number.NEGATIVE_INFINITY;

  constructor(presence: RedisPresence, clock: Clock) {
    this.#presence = presence;
    this.#clock = clock;
    this.#seen = {
      ...{ id: presence.id, relays: [], claimants: new Map() },
      ...{ readAt: undefined, failure: "Redis has not responded yet" },
    };
  }

  /** `claimed`: the feeds whose claims are of interest. Resolves soon, whatever Redis does. Never rejects. */
  async read(claimed: readonly Feed[]): Promise<FleetSeen> {
    if (this.#reading === undefined && this.#clock.elapsed() - this.#begunAt >= SHARED_FOR_MS) {
      this.#begunAt = this.#clock.elapsed();
      this.#reading = this.#renew(claimed).finally(() => {
        this.#reading = undefined;
      });
    }
    if (this.#reading !== undefined) await withTimeout(this.#reading, WAIT_MS, this.#clock);
    return this.#seen;
  }

  async #renew(claimed: readonly Feed[]): Promise<void> {
    try {
      const [relays, claimants] = await Promise.all([
        this.#presence.list(),
        this.#presence.claimants(claimed),
      ]);
      this.#seen = {
        ...{ id: this.#presence.id, relays, claimants },
        ...{ readAt: this.#clock.elapsed(), failure: undefined },
      };
    } catch (error) {
      this.#seen = { ...this.#seen, failure: toRedisFailure(error).message };
    }
  }
}
