import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import {
  type BackupRead,
  type BackupWrite,
  type Overwritable,
  type SpecBackup,
  storableHistory,
} from "../specs/backup.ts";
import type { Feed } from "../specs/feed.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { RedisConnection } from "./connection.ts";
import { readHistory } from "./entries/history.ts";
import { OverwriteGuard } from "./entries/overwrite-guard.ts";
import { readNewest } from "./entries/read-entry.ts";
import { removeEntry, touchEntry, writeEntry } from "./entries/write-entry.ts";
import { RedisFailure, toRedisFailure } from "./errors.ts";
import type { EmitRedisEvent, RedisEvent } from "./events.ts";
import type { NamedKey, RedisKeySchema } from "./keys.ts";

export interface RedisBackupOptions {
  /** Not closed by the backup. */
  readonly redis: RedisConnection;
  /** Keys of all schemas are written and read: the newest usable entry counts. */
  readonly schemas: readonly RedisKeySchema[];
  /** Also uses the v3 and v1 keys, for readers that know no others. */
  readonly doubleWriteLegacy: boolean;
  /** How long an entry lives after the last write or touch. */
  readonly ttlMs: number;
  /** Longer configs are not read. */
  readonly maxBytes: number;
  /**
   * Returns whether the operator listed this SDK key, and no other one that begins with the same 20 characters. Under a v4 name, an
   * entry that does not name its SDK key is used for such a key only.
   */
  readonly isSoleKey: (sdkKey: SdkKey) => boolean;
  readonly clock: Clock;
  readonly emit: EmitRedisEvent;
}

/**
 * How long versions are written without their history after Redis had no memory for one. Redis keeps a buffer of the size of a
 * large value for some seconds after it, which counts as used.
 */
const NO_HISTORIES_MS = 30_000;

/** Keeps feeds in Redis, for other relays and for SDKs that read Redis themselves. */
export class RedisBackup implements SpecBackup {
  readonly source = "redis";
  readonly hasCopies: boolean;
  readonly #options: RedisBackupOptions;
  readonly #schemas: readonly RedisKeySchema[];
  readonly #guard: OverwriteGuard;
  /** No histories are sent before this time, on the monotonic clock. */
  #historiesFrom = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: RedisBackupOptions) {
    const { redis, clock, schemas, doubleWriteLegacy } = options;
    this.#options = options;
    this.#schemas = [...new Set([...schemas, ...(doubleWriteLegacy ? (["v3", "v1"] as const) : [])])];
    this.hasCopies = this.#schemas.length > 1;
    this.#guard = new OverwriteGuard(redis, clock, (key, snapshot) => this.#writeTo(key, snapshot));
  }

  async read(feed: Feed, newerThan: number): Promise<BackupRead> {
    const { redis, maxBytes, clock, isSoleKey } = this.#options;
    const wanted = { feed, newerThan, maxBytes, isSoleKey: () => isSoleKey(feed.sdkKey) };
    return this.#reported(feed, clock.now(), readNewest(redis, this.#toKeys(feed), wanted));
  }

  async #reported(feed: Feed, startedAt: number, reading: Promise<BackupRead>): Promise<BackupRead> {
    const { clock, emit } = this.#options;
    const read = await this.#reportFailure(reading, (reason) => {
      return { kind: "redis_read_failed", feed, reason };
    });
    emit(toReadEvent(read, feed, clock.now() - startedAt));
    if (read.kind === "none") return read;
    const { next } = read;
    const reported = next && { next: () => this.#reported(feed, clock.now(), next()) };
    if (read.kind === "unusable") return { ...read, ...reported };
    const history = await this.#findHistory(feed);
    return { ...read, ...reported, ...(history && { history }) };
  }

  async readHistory(feed: Feed): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const [key] = this.#toKeys(feed);
    return this.#reportFailure(readHistory(this.#options.redis, key), (reason) => {
      return { kind: "redis_read_failed", feed, reason };
    });
  }

  /** Resolves with undefined also if Redis fails: a version is of use without its history. */
  async #findHistory(feed: Feed): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (feed.format !== "proto") return undefined;
    return readHistory(this.#options.redis, this.#historyKey(feed)).catch(() => undefined);
  }

  async write(snapshot: Snapshot, instead?: Overwritable): Promise<BackupWrite> {
    const { redis, clock, emit } = this.#options;
    const { lcut, bytes, feed } = snapshot;
    const startedAt = clock.now();
    const keys = this.#toKeys(feed);
    const writes = allOf(keys.map((key) => this.#writeTo(key, snapshot, instead)));
    const written = await this.#reportFailure(writes, (reason) => {
      return { kind: "redis_write_failed", feed, lcut, reason };
    });
    const newest = Math.max(lcut, ...written.map((each) => (each.kind === "written" ? lcut : each.lcut)));
    // Also if this version was there already: the note may have survived an earlier write that failed halfway.
    if (newest === lcut) {
      const deletion = unlessDenied(redis.send("DEL", [redis.keys.removal(feed)]));
      await this.#reportFailure(deletion, (reason) => {
        return { kind: "redis_write_failed", feed, lcut, reason };
      });
    }
    const isWritten = written.some(({ kind }) => kind === "written");
    if (isWritten) {
      this.#guard.watch(keys, snapshot);
      emit({ kind: "redis_wrote", feed, lcut, bytes: bytes.length, tookMs: clock.now() - startedAt });
    } else {
      emit({ kind: "redis_write_skipped", feed, lcut, keptLcut: newest });
    }
    if (!isWritten || newest > lcut) return { kind: "not_newer", lcut: newest };
    const replacedContent = written.some((each) => each.kind === "written" && each.replacedContent);
    return { kind: "written", ...(replacedContent && { replacedContent }) };
  }

  /** Tries without the history if Redis is out of memory: there may be room for the version alone. */
  async #writeTo(key: NamedKey, snapshot: Snapshot, instead?: Overwritable): Promise<BackupWrite> {
    const { redis, ttlMs, clock } = this.#options;
    const isFirst = key.name === this.#historyKey(snapshot.feed).name;
    const isRoomy = clock.elapsed() >= this.#historiesFrom;
    const history = isFirst && isRoomy ? storableHistory(snapshot) : undefined;
    try {
      return await writeEntry(redis, key, snapshot, { instead, ttlMs, history });
    } catch (error) {
      if (history === undefined || toRedisFailure(error).code !== "OOM") throw error;
      this.#historiesFrom = clock.elapsed() + NO_HISTORIES_MS;
      return writeEntry(redis, key, snapshot, { instead, ttlMs });
    }
  }

  /** One copy is enough: only relays of this project read it. */
  #historyKey(feed: Feed): NamedKey {
    return this.#options.redis.keys.entries(feed, this.#schemas)[0];
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
    const { redis, maxBytes, isSoleKey } = this.#options;
    this.#guard.forget(feed);
    const ttls = await Promise.all(keys.map(({ name }) => unlessDenied(redis.send("TTL", [name]))));
    if (ttls.every((ttl) => ttl === -2)) return;
    await unlessDenied(this.#noteRemoval(feed));
    const entry = { feed, maxBytes, isSoleKey: () => isSoleKey(feed.sdkKey) };
    await Promise.all(keys.map((key) => removeEntry(redis, key, entry)));
  }

  async wasRemoved(feed: Feed): Promise<boolean> {
    const { redis } = this.#options;
    return typeof (await unlessDenied(redis.send("GET", [redis.keys.removal(feed)]))) === "string";
  }

  /** The note lives as long as an entry: another relay may keep the feed until it learns that upstream rejects the key. */
  async #noteRemoval(feed: Feed): Promise<void> {
    const { redis, ttlMs } = this.#options;
    const note = redis.keys.removal(feed);
    await redis.send("SETNX", [note, "1"]);
    await redis.send("EXPIRE", [note, String(Math.ceil(ttlMs / 1_000))]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#guard[Symbol.asyncDispose]();
  }

  #toKeys(feed: Feed): [NamedKey, ...NamedKey[]] {
    if (this.#closed) throw new RedisFailure("unreachable", "the Redis backup is closed");
    return this.#options.redis.keys.entries(feed, this.#schemas);
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

/** Resolves with all results. After a failure it still waits for all, so that nothing runs on. */
async function allOf<T>(all: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(all);
  return Promise.all(all);
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
