import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { Clock } from "../clock.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import type { EmitRedisEvent } from "./events.ts";
import { type RedisFailure, redisFailure } from "./failure.ts";
import { LEADER_KEY } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";

export interface LeaderKeyOptions {
  readonly redis: RedisConnection;
  /** `--redis-leader-key-ttl`: original relays do not write for so long after this relay last renewed the key. */
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitRedisEvent;
}

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
 * of this project write whatever is newer, leader or not. They hold the key while upstream answers them, as one of many, so
 * that an original relay beside them, during a migration, does not write meanwhile; a relay that upstream does not answer
 * lets it run out. Only commands of the original are used, so its Redis user will do.
 *
 * The key is written often, and in any case: what becomes of that tells whether Redis takes writes at all.
 */
export class LeaderKey implements AsyncDisposable {
  readonly #options: LeaderKeyOptions;
  readonly #id: string = randomUUID();
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #due = new AbortController();
  #refusal: string | undefined;

  constructor(options: LeaderKeyOptions) {
    this.#options = options;
    this.#ending.signal.addEventListener("abort", () => this.#due.abort());
    this.#running = options.supervisor.loop("redis_leader_key", this.#ending.signal, (worked) =>
      this.#round(worked),
    );
  }

  /** Upstream answered just now, or a write failed. Costs nothing where the key was renewed a moment ago. */
  renew(): void {
    this.#due.abort();
  }

  async #round(worked: () => void): Promise<void> {
    const { clock, ttlMs } = this.#options;
    const { signal } = this.#due;
    if (this.#refusal === undefined && !signal.aborted) await once(signal, "abort");
    if (this.#ending.signal.aborted) return;
    this.#due = new AbortController();
    await this.#takeOrRenew();
    worked();
    const pauseMs = this.#refusal === undefined ? Math.min(ttlMs / 3, MAX_PAUSE_MS) : RETRY_MS;
    await clock.sleep(pauseMs, this.#ending.signal).catch(() => undefined);
  }

  async #takeOrRenew(): Promise<void> {
    const { redis, ttlMs } = this.#options;
    const expire = () => redis.send("EXPIRE", [LEADER_KEY, String(Math.ceil(ttlMs / 1_000))]);
    try {
      const isFree = (await redis.send("SETNX", [LEADER_KEY, this.#id])) === 1;
      // A relay that was killed between the two commands leaves it without an end.
      const isRenewed = isFree || (await this.#isOurs()) || (await redis.send("TTL", [LEADER_KEY])) === -1;
      if (isRenewed) await expire();
      this.#tell(undefined);
    } catch (error) {
      this.#tell(redisFailure(error));
    }
  }

  async #isOurs(): Promise<boolean> {
    return (await this.#options.redis.send("GET", [LEADER_KEY])) === this.#id;
  }

  #tell(failure: RedisFailure | undefined): void {
    const refusal = REFUSES_WRITES.has(failure?.code) ? failure?.message : undefined;
    // Of a Redis that can't be reached it is not known.
    if (failure !== undefined && refusal === undefined) return;
    const { emit } = this.#options;
    if (refusal !== undefined && this.#refusal === undefined)
      emit({ kind: "redis_refuses_writes", reason: refusal });
    if (refusal === undefined && this.#refusal !== undefined) emit({ kind: "redis_takes_writes" });
    this.#refusal = refusal;
  }

  /** Lets go of it at once, so that an original relay need not wait. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
    const { redis } = this.#options;
    if (await this.#isOurs().catch(() => false)) await redis.send("DEL", [LEADER_KEY]).catch(() => undefined);
  }
}
