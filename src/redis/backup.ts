import type { Clock } from "../platform/clock.ts";
import type { BackupRead, BackupWrite, SpecBackup } from "../specs/backup.ts";
import type { Feed } from "../specs/feed.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { RedisConnection } from "./connection.ts";
import { RedisFailure, redisFailure } from "./errors.ts";
import type { EmitRedisEvent, RedisEvent } from "./events.ts";
import { backupKeys, type NamedKey, type RedisKeySchema, removalKey } from "./keys.ts";
import { readEntry } from "./read-entry.ts";
import { removeEntry, touchEntry, writeEntry } from "./write-entry.ts";

export interface RedisBackupOptions {
  /** The connection's owner closes it. */
  readonly redis: RedisConnection;
  /** All are written, the first that can name a feed is read. */
  readonly schemas: readonly RedisKeySchema[];
  /** Writes the 1.x key too, for whoever still reads it. */
  readonly doubleWriteLegacy: boolean;
  /** From the last write or touch. */
  readonly ttlMs: number;
  /** Of a config that is read. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly emit: EmitRedisEvent;
}

/** Keeps feeds where other relays, and SDKs that read Redis themselves, find them. */
export class RedisBackup implements SpecBackup {
  readonly source = "redis";
  readonly #options: RedisBackupOptions;
  readonly #schemas: readonly RedisKeySchema[];
  #closed = false;

  constructor(options: RedisBackupOptions) {
    this.#options = options;
    this.#schemas = [...new Set([...options.schemas, ...(options.doubleWriteLegacy ? ["v1" as const] : [])])];
  }

  async read(feed: Feed, newerThan: number): Promise<BackupRead> {
    const { redis, maxBytes, clock } = this.#options;
    const startedAt = clock.now();
    const [key] = this.#keysOf(feed);
    const read = await this.#telling(readEntry(redis, key, { feed, newerThan, maxBytes }), (reason) => {
      return { kind: "redis_read_failed", feed, reason };
    });
    this.#options.emit(readEvent(read, feed, clock.now() - startedAt));
    return read;
  }

  async write(snapshot: Snapshot, instead?: number): Promise<BackupWrite> {
    const { redis, clock, ttlMs, emit } = this.#options;
    const { lcut, bytes, feed } = snapshot;
    const startedAt = clock.now();
    const [first, ...others] = this.#keysOf(feed);
    const writeTo = (key: NamedKey) => writeEntry(redis, key, snapshot, { instead, ttlMs });
    const written = await this.#telling(firstOfAll(writeTo(first), others.map(writeTo)), (reason) => {
      return { kind: "redis_write_failed", feed, lcut, reason };
    });
    // Also where it was there already: the note may have outlived an earlier write.
    if (written.kind === "written" || written.lcut === lcut) {
      await this.#telling(ifAllowed(redis.send("DEL", [removalKey(feed)])), (reason) => {
        return { kind: "redis_write_failed", feed, lcut, reason };
      });
    }
    if (written.kind === "written") {
      emit({ kind: "redis_wrote", feed, lcut, bytes: bytes.length, tookMs: clock.now() - startedAt });
    } else {
      emit({ kind: "redis_write_skipped", feed, lcut, keptLcut: written.lcut });
    }
    return written;
  }

  async touch(snapshot: Snapshot): Promise<boolean> {
    const { redis, ttlMs } = this.#options;
    const touches = this.#keysOf(snapshot.feed).map((key) => touchEntry(redis, key, snapshot, ttlMs));
    return (await Promise.all(touches)).every(Boolean);
  }

  async remove(feed: Feed): Promise<void> {
    await this.#telling(this.#removeNow(feed, this.#keysOf(feed)), (reason) => {
      return { kind: "redis_delete_failed", feed, reason };
    });
    this.#options.emit({ kind: "redis_deleted", feed });
  }

  /** Where nothing is there, nothing is left behind: made-up keys must not fill Redis. */
  async #removeNow(feed: Feed, keys: readonly NamedKey[]): Promise<void> {
    const { redis, maxBytes } = this.#options;
    const ttls = await Promise.all(keys.map(({ name }) => ifAllowed(redis.send("TTL", [name]))));
    if (ttls.every((ttl) => ttl === -2)) return;
    await ifAllowed(this.#noteRemoval(feed));
    await Promise.all(keys.map((key) => removeEntry(redis, key, feed, maxBytes)));
  }

  async wasRemoved(feed: Feed): Promise<boolean> {
    return typeof (await ifAllowed(this.#options.redis.send("GET", [removalKey(feed)]))) === "string";
  }

  /** For as long as other relays may hold the feed without having heard from upstream that its key is refused. */
  async #noteRemoval(feed: Feed): Promise<void> {
    const { redis, ttlMs } = this.#options;
    await redis.send("SETNX", [removalKey(feed), "1"]);
    await redis.send("EXPIRE", [removalKey(feed), String(Math.ceil(ttlMs / 1_000))]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }

  #keysOf(feed: Feed): [NamedKey, ...NamedKey[]] {
    if (this.#closed) throw new RedisFailure("unreachable", "the backup is closed");
    return backupKeys(feed, this.#schemas);
  }

  async #telling<T>(work: Promise<T>, eventFor: (reason: string) => RedisEvent): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const failure = redisFailure(error);
      this.#options.emit(eventFor(failure.message));
      throw failure;
    }
  }
}

/** Undefined where the Redis user may not, which is reported. */
async function ifAllowed<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (redisFailure(error).denied === undefined) throw error;
    return undefined;
  }
}

/** Waits for all, also after one failed: what is reported as failed must not go on behind it. */
async function firstOfAll<T>(first: Promise<T>, others: readonly Promise<T>[]): Promise<T> {
  await Promise.allSettled([first, ...others]);
  await Promise.all(others);
  return first;
}

function readEvent(read: BackupRead, feed: Feed, tookMs: number): RedisEvent {
  switch (read.kind) {
    case "none":
      return { kind: "redis_read_miss", feed };
    case "unusable":
      return { kind: "redis_read_unusable", feed, detail: read.detail };
    case "found": {
      const { headerLcut: lcut = 0, body } = read.raw;
      return { kind: "redis_read", feed, lcut, bytes: body.length, tookMs };
    }
  }
}
