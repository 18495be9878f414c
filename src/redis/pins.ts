import { hash } from "node:crypto";
import type { Clock } from "../platform/clock.ts";
import type { PinStorage } from "../specs/pins/pin-storage.ts";
import { type RedisConnection, RedisScript } from "./connection.ts";
import { RedisFailure } from "./errors.ts";
import type { RedisNotices } from "./fleet.ts";

/**
 * KEYS: the pins. Replaces them if they are as expected; an empty text stands for none. A hash, so that the user needs no further
 * permissions than for config specs. It has no TTL: a pin lasts until it is released.
 */
const replace = new RedisScript(`
if (redis.call('HGET', KEYS[1], 'pins') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'pins', ARGV[2])
return 1
`);

/** Stands for the pins in notices of new versions. No feed has this id. */
const NOTICE_ID = hash("sha256", "pins", "base64url");

/** Keeps the pins of a fleet in Redis. */
export class RedisPins implements PinStorage {
  readonly #redis: RedisConnection;
  readonly #notices: RedisNotices | undefined;
  readonly #clock: Clock;

  /** Without `notices`, other relays learn of a change when they read the pins next. */
  constructor(redis: RedisConnection, notices: RedisNotices | undefined, clock: Clock) {
    this.#redis = redis;
    this.#notices = notices;
    this.#clock = clock;
  }

  async read(): Promise<string | undefined> {
    const text = await this.#redis.send("HGET", [this.#redis.keys.pins, "pins"]);
    return typeof text === "string" && text !== "" ? text : undefined;
  }

  async replace(expected: string | undefined, text: string): Promise<boolean> {
    const reply = await replace.run(this.#redis, this.#redis.keys.pins, [expected ?? "", text]);
    if (typeof reply !== "number")
      throw new RedisFailure("garbage", "unexpected reply to the script of pins");
    return reply === 1;
  }

  async announce(): Promise<void> {
    await this.#notices?.publish(NOTICE_ID, { lcut: this.#clock.now(), checksum: "" });
  }

  onAnnounced(listener: () => void): void {
    this.#notices?.listen((id) => {
      if (id === NOTICE_ID) listener();
    });
  }
}
