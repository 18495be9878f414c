import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Lease } from "../specs/lease.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import type { EmitRedisEvent } from "./events.ts";
import { type RedisFailure, redisFailure } from "./failure.ts";
import { LEADER_KEY } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { RedisScript } from "./script.ts";

/**
 * Takes the lease where it is free, or ours still: an answer that got lost must not lock its own relay out.
 * What is no lease, of another type or without an end, is made one or goes. Answers with who has it then.
 */
const takeOrRenew = new RedisScript(`
local key, id, ttl = KEYS[1], ARGV[1], ARGV[2]
local kind = redis.call('TYPE', key).ok
if kind == 'string' and redis.call('GET', key) ~= id then
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ttl) end
  return redis.call('GET', key)
end
if kind ~= 'string' and kind ~= 'none' then redis.call('DEL', key) end
redis.call('SET', key, id, 'PX', ttl)
return id
`);

const release = new RedisScript(`
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
`);

const MAX_RETRY_MS = 5_000;

/** Anything may stand in Redis: what is no relay's is not shown. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface RedisLeaseOptions {
  readonly redis: RedisConnection;
  /** After a relay that ended without a goodbye, another one has the lease so much later. */
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitRedisEvent;
}

/**
 * The lease as a key with an end, renewed every third of its time. It counts as held only for as long as it
 * can't have run out in Redis, reckoned from before the command was sent: also where Redis hangs.
 */
export class RedisLease implements Lease, AsyncDisposable {
  readonly #options: RedisLeaseOptions;
  /** By which other relays know this one. */
  readonly id: string = randomUUID();
  readonly #onAcquired: (() => void)[] = [];
  readonly #running: Promise<void>;
  #wake = new AbortController();
  #expiry = new AbortController();
  #heldUntil: Moment = { steadyMs: 0, wallMs: 0 };
  #holder: string | undefined;
  #toldHeld = false;
  #toldRefusal = false;
  readonly #ending = new AbortController();

  /** Tries to get it from here on. */
  constructor(options: RedisLeaseOptions) {
    this.#options = options;
    options.redis.onUp(() => this.#wake.abort());
    this.#running = options.supervisor.loop("redis_lease", this.#ending.signal, (worked) =>
      this.#round(worked),
    );
  }

  get isHeld(): boolean {
    return this.#msLeft() > 0;
  }

  /** The `id` of whoever had it when Redis was last asked; undefined where that is not known, or no relay's. */
  get holder(): string | undefined {
    return this.isHeld ? this.id : this.#holder;
  }

  onAcquired(listener: () => void): void {
    this.#onAcquired.push(listener);
  }

  async #round(worked: () => void): Promise<void> {
    const { clock, ttlMs } = this.#options;
    this.#wake = new AbortController();
    const { signal } = this.#wake;
    const renewed = await this.#takeOrRenew();
    worked();
    const pauseMs = renewed ? ttlMs / 3 : Math.min(ttlMs / 3, MAX_RETRY_MS);
    await clock.sleep(pauseMs, signal).catch(() => undefined);
  }

  async #takeOrRenew(): Promise<boolean> {
    const { redis, ttlMs } = this.#options;
    const sentAt = this.#now();
    try {
      const holder = await takeOrRenew.run(redis, LEADER_KEY, [this.id, String(ttlMs)]);
      const isOurs = holder === this.id;
      this.#holder = typeof holder === "string" && !isOurs && UUID.test(holder) ? holder : undefined;
      this.#tellWrites(undefined);
      if (isOurs) this.#heldFrom(sentAt);
      else this.#lost("taken");
      return isOurs;
    } catch (error) {
      // The lease runs out by itself.
      this.#holder = undefined;
      this.#tellWrites(redisFailure(error));
      return false;
    }
  }

  /** The lease is written most often, and first: what becomes of it tells of all writes. */
  #tellWrites(failure: RedisFailure | undefined): void {
    // A connection that is gone is told by the connection.
    if (failure !== undefined && failure.kind !== "refused") return;
    const refuses = failure !== undefined;
    if (refuses === this.#toldRefusal) return;
    this.#toldRefusal = refuses;
    this.#options.emit(
      refuses ? { kind: "redis_refuses_writes", reason: failure.message } : { kind: "redis_takes_writes" },
    );
  }

  #heldFrom({ steadyMs, wallMs }: Moment): void {
    const { ttlMs, emit } = this.#options;
    this.#heldUntil = { steadyMs: steadyMs + ttlMs, wallMs: wallMs + ttlMs };
    if (!this.isHeld) return;
    void this.#options.supervisor.task("lease_expiry", () => this.#tellExpiry());
    if (this.#toldHeld) return;
    this.#toldHeld = true;
    emit({ kind: "lease_acquired" });
    for (const listener of this.#onAcquired) listener();
  }

  async #tellExpiry(): Promise<void> {
    this.#expiry.abort();
    this.#expiry = new AbortController();
    const { signal } = this.#expiry;
    try {
      while (this.isHeld) await this.#options.clock.sleep(Math.ceil(this.#msLeft()), signal);
    } catch {
      return;
    }
    this.#lost("expired");
  }

  #lost(reason: "expired" | "taken" | "released"): void {
    this.#expiry.abort();
    this.#heldUntil = { steadyMs: 0, wallMs: 0 };
    if (!this.#toldHeld) return;
    this.#toldHeld = false;
    this.#options.emit({ kind: "lease_lost", reason });
  }

  #msLeft(): number {
    const now = this.#now();
    return Math.min(this.#heldUntil.steadyMs - now.steadyMs, this.#heldUntil.wallMs - now.wallMs);
  }

  /** Both count: the wall clock can be set back, and the steady one stands still while a machine is suspended. */
  #now(): Moment {
    return { steadyMs: performance.now(), wallMs: this.#options.clock.now() };
  }

  /** Gives it back, so that another relay need not wait for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#wake.abort();
    await this.#running;
    this.#lost("released");
    await release.run(this.#options.redis, LEADER_KEY, [this.id]).catch(() => undefined);
  }
}

interface Moment {
  readonly steadyMs: number;
  readonly wallMs: number;
}
