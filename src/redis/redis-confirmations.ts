import type { KnownConfirmation } from "../specs/fleet.ts";
import { parseLcut } from "../specs/payload.ts";
import { confirmedKey } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";

/** How relays that don't ask upstream learn that what they hold is still the newest. */
export class RedisConfirmations {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  /** Says for `ttlMs` that upstream has nothing newer than `lcut`. What is left of that time tells how long ago it was. */
  async confirm(feedDigest: string, lcut: number, ttlMs: number): Promise<void> {
    await this.#redis.send("SET", [confirmedKey(feedDigest), `${lcut} ${ttlMs}`, "PX", String(ttlMs)]);
  }

  /** What was confirmed last, unless its time is over. */
  async read(feedDigest: string): Promise<KnownConfirmation | undefined> {
    const key = confirmedKey(feedDigest);
    const [answer, ttlMs] = await Promise.all([
      this.#redis.send("GET", [key]),
      this.#redis.send("PTTL", [key]),
    ]);
    const [, lcutText, fullTtl] = (typeof answer === "string" && FORM.exec(answer)) || [];
    const lcut = parseLcut(Number(lcutText));
    if (lcut === undefined || typeof ttlMs !== "number" || ttlMs <= 0) return undefined;
    return { lcut, ttlMs, saidAgoMs: Math.max(0, Number(fullTtl) - ttlMs) };
  }
}

/** The lcut, and for how long it was confirmed. */
const FORM = /^(\d{1,16}) (\d{1,10})$/;
