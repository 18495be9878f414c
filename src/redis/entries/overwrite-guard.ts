import type { Clock } from "../../platform/clock.ts";
import { type Feed, feedId } from "../../specs/feed.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { RedisConnection } from "../connection.ts";
import type { NamedKey } from "../keys.ts";
import { readLcut, readState } from "./entry.ts";

/** Longer than an original relay takes from its check to its write. A slower one is found by the touches of the backup. */
const LOOK_AFTER_MS = 2_000;

interface Watched {
  readonly keys: readonly NamedKey[];
  readonly snapshot: Snapshot;
}

/**
 * Undoes what an original relay next to this one can do: it compares versions first and writes later, without comparing again, so
 * that its write may replace a newer version of this relay that came in between. If an original relay holds the leader key two
 * seconds after a write, the guard looks at the entries, and writes those again that are older.
 */
export class OverwriteGuard implements AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #rewrite: (key: NamedKey, snapshot: Snapshot) => Promise<unknown>;
  readonly #watched = new Map<string, Watched>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(
    redis: RedisConnection,
    clock: Clock,
    rewrite: (key: NamedKey, snapshot: Snapshot) => Promise<unknown>,
  ) {
    this.#redis = redis;
    this.#clock = clock;
    this.#rewrite = rewrite;
  }

  /** Call this when the version was written. */
  watch(keys: readonly NamedKey[], snapshot: Snapshot): void {
    const id = feedId(snapshot.feed);
    const watched = this.#watched.get(id);
    if (watched !== undefined && watched.snapshot.lcut > snapshot.lcut) return;
    this.#watched.set(id, { keys, snapshot });
    if (watched !== undefined) return;
    const looking = this.#look(id).finally(() => this.#running.delete(looking));
    this.#running.add(looking);
  }

  /** Call this when the feed is removed from Redis. */
  forget(feed: Feed): void {
    this.#watched.delete(feedId(feed));
  }

  /** If Redis fails, the next touch finds what this one would have. */
  async #look(id: string): Promise<void> {
    try {
      let seen: Watched | undefined;
      let watched = this.#watched.get(id);
      while (watched !== undefined && watched !== seen) {
        seen = watched;
        await this.#clock.sleep(LOOK_AFTER_MS, this.#closing.signal);
        watched = this.#watched.get(id);
      }
      this.#watched.delete(id);
      if (watched === undefined) return;
      const leader = await this.#redis.send("GET", [this.#redis.keys.leader]);
      if (typeof leader !== "string") return;
      await Promise.all(watched.keys.map((key) => this.#restore(key, watched.snapshot)));
    } catch {
      this.#watched.delete(id);
    }
  }

  /** An entry that is missing stays so: another relay may have removed it. */
  async #restore(key: NamedKey, snapshot: Snapshot): Promise<void> {
    const state = await readState(this.#redis, key.name);
    const lcut = state.kind === "hash" ? readLcut(state.lcut) : undefined;
    if (lcut !== undefined && lcut < snapshot.lcut) await this.#rewrite(key, snapshot);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
  }
}
