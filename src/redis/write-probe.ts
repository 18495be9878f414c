import { once } from "node:events";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { RedisConnection } from "./connection.ts";
import { type RedisFailure, toRedisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";

interface WriteProbeOptions {
  readonly redis: Pick<RedisConnection, "keys" | "send">;
  /** `--redis-leader-key-ttl`: the TTL that a leader key without one gets, ms. */
  readonly leaderKeyTtlMs: number;
  /** How long after a response of upstream Redis is probed, ms. Longer than the polling interval. */
  readonly responseValidMs: () => number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitRedisEvent;
}

const PAUSE_MS = 5_000;
/** The interval between tries while Redis rejects writes, and the shortest one. */
const RETRY_MS = 1_000;
const PROBE_TTL_S = 60;

/** Error codes that mean that Redis rejects every write. */
const WRITE_REJECTIONS: ReadonlySet<string | undefined> = new Set([
  "READONLY",
  "OOM",
  "MISCONF",
  "NOREPLICAS",
  "MASTERDOWN",
]);

/**
 * Writes to Redis every few seconds while upstream responds, so that it is noticed between updates that Redis rejects all writes.
 * Uses only commands that the original relay uses, so its Redis user has the permissions.
 *
 * Also gives a TTL to a leader key that has none (docs/protocol.md, Leader key). Of the original relays only the one whose ID is
 * in that key writes, and one that was killed before it set the TTL would keep the others from writing forever. A relay of this
 * project neither takes the key nor waits for it: it writes every newer version, while the key would keep original relays from
 * writing what this relay does not have, such as the config specs of SDK keys that only their clients use.
 */
export class WriteProbe implements AsyncDisposable {
  readonly #options: WriteProbeOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #due = new AbortController();
  /** Aborted when the pause is to end early. */
  #urgent = new AbortController();
  #respondedAt = Number.NEGATIVE_INFINITY;
  #rejection: string | undefined;

  constructor(options: WriteProbeOptions) {
    this.#options = options;
    this.#ending.signal.addEventListener("abort", () => this.#due.abort());
    this.#running = options.supervisor.loop("redis_write_probe", this.#ending.signal, (worked) =>
      this.#round(worked),
    );
  }

  /** Call this when upstream has responded to a request for config specs. */
  upstreamResponded(): void {
    this.#respondedAt = this.#options.clock.elapsed();
    this.#due.abort();
  }

  /** Call this when another write failed: Redis is probed at once, or one second after the probe before. */
  tryNow(): void {
    this.#urgent.abort();
    this.#due.abort();
  }

  async #round(worked: () => void): Promise<void> {
    const { signal } = this.#due;
    if (!this.#isActive && this.#rejection === undefined && !signal.aborted) await once(signal, "abort");
    if (this.#ending.signal.aborted) return;
    this.#due = new AbortController();
    this.#urgent = new AbortController();
    await this.#probe();
    worked();
    await this.#pause();
  }

  async #pause(): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(RETRY_MS, this.#ending.signal).catch(() => undefined);
    if (this.#rejection !== undefined) return;
    const early = AbortSignal.any([this.#ending.signal, this.#urgent.signal]);
    await clock.sleep(PAUSE_MS - RETRY_MS, early).catch(() => undefined);
  }

  get #isActive(): boolean {
    const { clock, responseValidMs } = this.#options;
    return clock.elapsed() - this.#respondedAt < responseValidMs();
  }

  async #probe(): Promise<void> {
    const { redis, leaderKeyTtlMs } = this.#options;
    const { writeProbe, leader } = redis.keys;
    try {
      // Redis rejects it when it is full even if the key exists.
      await redis.send("SETNX", [writeProbe, "1"]);
      await redis.send("EXPIRE", [writeProbe, String(PROBE_TTL_S)]);
      this.#report(undefined);
      if ((await redis.send("TTL", [leader])) === -1) {
        await redis.send("EXPIRE", [leader, String(Math.ceil(leaderKeyTtlMs / 1_000))]);
      }
    } catch (error) {
      this.#report(toRedisFailure(error));
    }
  }

  #report(failure: RedisFailure | undefined): void {
    const rejection = WRITE_REJECTIONS.has(failure?.code) ? failure?.message : undefined;
    // Another failure, such as a broken connection, does not show whether Redis accepts writes.
    if (failure !== undefined && rejection === undefined) return;
    const { emit } = this.#options;
    if (rejection !== undefined && rejection !== this.#rejection)
      emit({ kind: "redis_refuses_writes", reason: rejection });
    if (rejection === undefined && this.#rejection !== undefined) emit({ kind: "redis_accepts_writes" });
    this.#rejection = rejection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }
}
