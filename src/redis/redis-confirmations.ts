import type { Confirmation } from "../specs/fleet.ts";
import { parseLcut } from "../specs/payload.ts";
import { confirmedKey } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";

/** How relays that don't ask upstream learn that what they hold is still the newest. */
export class RedisConfirmations {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  /** Says for `ttlMs` that upstream has nothing newer than `lcut`. */
  async confirm(feedDigest: string, lcut: number, ttlMs: number): Promise<void> {
    await this.#redis.send("SET", [confirmedKey(feedDigest), String(lcut), "PX", String(ttlMs)]);
  }

  /** What was confirmed last, unless its time is over. */
  async read(feedDigest: string): Promise<Confirmation | undefined> {
    const key = confirmedKey(feedDigest);
    const [answer, ttlMs] = await Promise.all([
      this.#redis.send("GET", [key]),
      this.#redis.send("PTTL", [key]),
    ]);
    const lcut =
      typeof answer === "string" && /^\d{1,16}$/.test(answer) ? parseLcut(Number(answer)) : undefined;
    if (lcut === undefined || typeof ttlMs !== "number" || ttlMs <= 0) return undefined;
    return { lcut, ttlMs };
  }
}
