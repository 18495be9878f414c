import type { Clock } from "../platform/clock.ts";
import type { BackupRead, BackupWrite, SpecBackup } from "../specs/backup.ts";
import type { Feed } from "../specs/feed.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { RedisConnection } from "./connection.ts";
import { RedisFailure, toRedisFailure } from "./errors.ts";
import type { EmitRedisEvent, RedisEvent } from "./events.ts";
import { backupKeys, type NamedKey, type RedisKeySchema, removalKey } from "./keys.ts";
import { readEntry } from "./read-entry.ts";
import { removeEntry, touchEntry, writeEntry } from "./write-entry.ts";

export interface RedisBackupOptions {
  /** Not closed by the backup. */
  readonly redis: RedisConnection;
  /** Keys of all schemas are written. The first schema that can name a feed is read. */
  readonly schemas: readonly RedisKeySchema[];
  /** Also writes the v1 key, for readers that know no other. */
  readonly doubleWriteLegacy: boolean;
  /** How long an entry lives after the last write or touch. */
  readonly ttlMs: number;
  /** Longer configs are not read. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly emit: EmitRedisEvent;
}

/** Keeps feeds in Redis, for other relays and for SDKs that read Redis themselves. */
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
    const [key] = this.#toKeys(feed);
    const read = await this.#reportFailure(readEntry(redis, key, { feed, newerThan, maxBytes }), (reason) => {
      return { kind: "redis_read_failed", feed, reason };
    });
    this.#options.emit(toReadEvent(read, feed, clock.now() - startedAt));
    return read;
  }

  async write(snapshot: Snapshot, instead?: number): Promise<BackupWrite> {
    const { redis, clock, ttlMs, emit } = this.#options;
    const { lcut, bytes, feed } = snapshot;
    const startedAt = clock.now();
    const [first, ...others] = this.#toKeys(feed);
    const writeTo = (key: NamedKey) => writeEntry(redis, key, snapshot, { instead, ttlMs });
    const written = await this.#reportFailure(firstOfAll(writeTo(first), others.map(writeTo)), (reason) => {
      return { kind: "redis_write_failed", feed, lcut, reason };
    });
    // Also if this version was there already: the note may have survived an earlier write that failed halfway.
    if (written.kind === "written" || written.lcut === lcut) {
      await this.#reportFailure(unlessDenied(redis.send("DEL", [removalKey(feed)])), (reason) => {
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
    const { redis, ttlMs, emit } = this.#options;
    const { feed } = snapshot;
    const touches = this.#toKeys(feed).map((key) => touchEntry(redis, key, snapshot, ttlMs));
    const touched = await this.#reportFailure(Promise.all(touches), (reason) => {
      return { kind: "redis_touch_failed", feed, reason };
    });
    const isHeld = touched.every(Boolean);
    emit({ kind: "redis_touched", feed, isHeld });
    return isHeld;
  }

  async remove(feed: Feed): Promise<void> {
    await this.#reportFailure(this.#removeNow(feed, this.#toKeys(feed)), (reason) => {
      return { kind: "redis_delete_failed", feed, reason };
    });
    this.#options.emit({ kind: "redis_deleted", feed });
  }

  /** Writes no note if there is no entry: made-up SDK keys must not fill Redis. */
  async #removeNow(feed: Feed, keys: readonly NamedKey[]): Promise<void> {
    const { redis, maxBytes } = this.#options;
    const ttls = await Promise.all(keys.map(({ name }) => unlessDenied(redis.send("TTL", [name]))));
    if (ttls.every((ttl) => ttl === -2)) return;
    await unlessDenied(this.#noteRemoval(feed));
    await Promise.all(keys.map((key) => removeEntry(redis, key, feed, maxBytes)));
  }

  async wasRemoved(feed: Feed): Promise<boolean> {
    return typeof (await unlessDenied(this.#options.redis.send("GET", [removalKey(feed)]))) === "string";
  }

  /** The note lives as long as an entry: another relay may keep the feed until it learns that upstream rejects the key. */
  async #noteRemoval(feed: Feed): Promise<void> {
    const { redis, ttlMs } = this.#options;
    await redis.send("SETNX", [removalKey(feed), "1"]);
    await redis.send("EXPIRE", [removalKey(feed), String(Math.ceil(ttlMs / 1_000))]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }

  #toKeys(feed: Feed): [NamedKey, ...NamedKey[]] {
    if (this.#closed) throw new RedisFailure("unreachable", "the Redis backup is closed");
    return backupKeys(feed, this.#schemas);
  }

  async #reportFailure<T>(work: Promise<T>, eventFor: (reason: string) => RedisEvent): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const failure = toRedisFailure(error);
      this.#options.emit(eventFor(failure.message));
      throw failure;
    }
  }
}

/** Resolves with undefined if the Redis user lacks the permission. The connection reports that. */
async function unlessDenied<T>(reply: Promise<T>): Promise<T | undefined> {
  try {
    return await reply;
  } catch (error) {
    if (toRedisFailure(error).denied === undefined) throw error;
    return undefined;
  }
}

/** Resolves with the first result when all have succeeded. After a failure it still waits for all, so that nothing runs on. */
async function firstOfAll<T>(first: Promise<T>, others: readonly Promise<T>[]): Promise<T> {
  await Promise.allSettled([first, ...others]);
  await Promise.all(others);
  return first;
}

function toReadEvent(read: BackupRead, feed: Feed, tookMs: number): RedisEvent {
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
