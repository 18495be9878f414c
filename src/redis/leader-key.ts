import { once } from "node:events";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { RedisConnection } from "./connection.ts";
import { type RedisFailure, toRedisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";
import { LEADER_KEY } from "./keys.ts";

interface LeaderKeyOptions {
  readonly redis: RedisConnection;
  /** `--redis-leader-key-ttl`: how long original relays do not write after a relay of this project last renewed the key. */
  readonly ttlMs: number;
  /** How long after a response of upstream the key is renewed. Must be longer than the polling interval. */
  readonly responseValidMs: () => number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitRedisEvent;
}

/** Shared by all relays of this project, so that each of them renews the key. A UUID, like the original relay's values. */
const ID = "5f1c0b5e-8d0c-4b53-9d6e-3a6f4f1e7a42";

const MAX_PAUSE_MS = 5_000;
/** The interval between tries while Redis rejects writes. */
const RETRY_MS = 1_000;

/** Error codes that mean that Redis rejects every write. */
const WRITE_REJECTIONS: ReadonlySet<string | undefined> = new Set([
  "READONLY",
  "OOM",
  "MISCONF",
  "NOREPLICAS",
  "MASTERDOWN",
]);

/**
 * The leader key of the original relay (docs/protocol.md, Leader key): among original relays, only the one whose ID is in the key
 * writes to Redis. Relays of this project write every newer version without being leader. They hold the key together while
 * upstream responds to any of them, so that original relays next to them, during a migration, do not write. If upstream responds
 * to none of them, the key expires. Uses only commands that the original relay uses, so its Redis user has the permissions.
 *
 * Because the key is written often, this is also where the relay notices that Redis rejects all writes.
 */
export class LeaderKey implements AsyncDisposable {
  readonly #options: LeaderKeyOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #due = new AbortController();
  #respondedAt = Number.NEGATIVE_INFINITY;
  #rejection: string | undefined;

  constructor(options: LeaderKeyOptions) {
    this.#options = options;
    this.#ending.signal.addEventListener("abort", () => this.#due.abort());
    this.#running = options.supervisor.loop("redis_leader_key", this.#ending.signal, (worked) =>
      this.#round(worked),
    );
  }

  /** Call this when upstream has responded to a request for config specs. */
  upstreamResponded(): void {
    this.#respondedAt = this.#options.clock.elapsed();
    this.#due.abort();
  }

  /** Writes the key now, to find out whether Redis rejects all writes. Call this when another write failed. */
  tryNow(): void {
    this.#due.abort();
  }

  async #round(worked: () => void): Promise<void> {
    const { clock, ttlMs } = this.#options;
    const { signal } = this.#due;
    if (!this.#isRenewing && this.#rejection === undefined && !signal.aborted) await once(signal, "abort");
    if (this.#ending.signal.aborted) return;
    this.#due = new AbortController();
    await this.#acquireOrRenew();
    worked();
    const pauseMs = this.#rejection === undefined ? Math.min(ttlMs / 3, MAX_PAUSE_MS) : RETRY_MS;
    await clock.sleep(pauseMs, this.#ending.signal).catch(() => undefined);
  }

  get #isRenewing(): boolean {
    const { clock, responseValidMs } = this.#options;
    return clock.elapsed() - this.#respondedAt < responseValidMs();
  }

  async #acquireOrRenew(): Promise<void> {
    const { redis, ttlMs } = this.#options;
    try {
      const isFree = (await redis.send("SETNX", [LEADER_KEY, ID])) === 1;
      // A relay that is killed between SETNX and EXPIRE leaves the key without a TTL: -1.
      const isOurs = isFree || (await redis.send("GET", [LEADER_KEY])) === ID;
      if (isOurs || (await redis.send("TTL", [LEADER_KEY])) === -1) {
        await redis.send("EXPIRE", [LEADER_KEY, String(Math.ceil(ttlMs / 1_000))]);
      }
      this.#report(undefined);
    } catch (error) {
      this.#report(toRedisFailure(error));
    }
  }

  #report(failure: RedisFailure | undefined): void {
    const rejection = WRITE_REJECTIONS.has(failure?.code) ? failure?.message : undefined;
    // Another failure, such as a broken connection, does not show whether Redis accepts writes.
    if (failure !== undefined && rejection === undefined) return;
    const { emit } = this.#options;
    if (rejection !== undefined && this.#rejection === undefined)
      emit({ kind: "redis_refuses_writes", reason: rejection });
    if (rejection === undefined && this.#rejection !== undefined) emit({ kind: "redis_accepts_writes" });
    this.#rejection = rejection;
  }

  /** Does not delete the key, because other relays may hold it, too. It expires. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }
}
