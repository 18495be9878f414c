import { once } from "node:events";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { RedisConnection } from "./connection.ts";
import { type RedisFailure, redisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";
import { LEADER_KEY } from "./keys.ts";

interface LeaderKeyOptions {
  readonly redis: RedisConnection;
  /** `--redis-leader-key-ttl`: original relays do not write for so long after a relay of this project last renewed the key. */
  readonly ttlMs: number;
  /** The key is renewed for so long after upstream last answered: longer than the polling interval. */
  readonly responseValidMs: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitRedisEvent;
}

/** That of all relays of this project: any of them renews what another one took. The original's values are UUIDs as well. */
const ID = "5f1c0b5e-8d0c-4b53-9d6e-3a6f4f1e7a42";

const MAX_PAUSE_MS = 5_000;
/** While Redis takes no writes. */
const RETRY_MS = 1_000;

/** What keeps all from writing, whatever they write. */
const REFUSES_WRITES: ReadonlySet<string | undefined> = new Set([
  "READONLY",
  "OOM",
  "MISCONF",
  "NOREPLICAS",
  "MASTERDOWN",
]);

/**
 * The leader key of the original relay (WIRE 6): of original relays only the one whose ID it holds writes to Redis. Relays
 * of this project write whatever is newer, leader or not. They hold the key together while upstream answers any of them, so
 * that an original relay beside them, during a migration, does not write meanwhile; where upstream answers none, it runs
 * out. Only commands of the original are used, so its Redis user will do.
 *
 * The key is written often: what becomes of that tells whether Redis takes writes at all.
 */
export class LeaderKey implements AsyncDisposable {
  readonly #options: LeaderKeyOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #due = new AbortController();
  #respondedAt = Number.NEGATIVE_INFINITY;
  #refusal: string | undefined;

  constructor(options: LeaderKeyOptions) {
    this.#options = options;
    this.#ending.signal.addEventListener("abort", () => this.#due.abort());
    this.#running = options.supervisor.loop("redis_leader_key", this.#ending.signal, (worked) =>
      this.#round(worked),
    );
  }

  /** Upstream answered just now. */
  upstreamResponded(): void {
    this.#respondedAt = this.#options.clock.elapsed();
    this.#due.abort();
  }

  /** A write failed: perhaps none is taken. */
  tryNow(): void {
    this.#due.abort();
  }

  async #round(worked: () => void): Promise<void> {
    const { clock, ttlMs } = this.#options;
    const { signal } = this.#due;
    if (!this.#isRenewing && this.#refusal === undefined && !signal.aborted) await once(signal, "abort");
    if (this.#ending.signal.aborted) return;
    this.#due = new AbortController();
    await this.#takeOrRenew();
    worked();
    const pauseMs = this.#refusal === undefined ? Math.min(ttlMs / 3, MAX_PAUSE_MS) : RETRY_MS;
    await clock.sleep(pauseMs, this.#ending.signal).catch(() => undefined);
  }

  get #isRenewing(): boolean {
    const { clock, responseValidMs } = this.#options;
    return clock.elapsed() - this.#respondedAt < responseValidMs;
  }

  async #takeOrRenew(): Promise<void> {
    const { redis, ttlMs } = this.#options;
    try {
      const isFree = (await redis.send("SETNX", [LEADER_KEY, ID])) === 1;
      // A relay that was killed between the two commands leaves it without an end.
      const isOurs = isFree || (await redis.send("GET", [LEADER_KEY])) === ID;
      if (isOurs || (await redis.send("TTL", [LEADER_KEY])) === -1) {
        await redis.send("EXPIRE", [LEADER_KEY, String(Math.ceil(ttlMs / 1_000))]);
      }
      this.#tell(undefined);
    } catch (error) {
      this.#tell(redisFailure(error));
    }
  }

  #tell(failure: RedisFailure | undefined): void {
    const refusal = REFUSES_WRITES.has(failure?.code) ? failure?.message : undefined;
    // Of a Redis that can't be reached it is not known.
    if (failure !== undefined && refusal === undefined) return;
    const { emit } = this.#options;
    if (refusal !== undefined && this.#refusal === undefined)
      emit({ kind: "redis_refuses_writes", reason: refusal });
    if (refusal === undefined && this.#refusal !== undefined) emit({ kind: "redis_accepts_writes" });
    this.#refusal = refusal;
  }

  /** Other relays may hold it too: it runs out by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }
}
