import type { Clock } from "../platform/clock.ts";
import type { BackupRead, EmitBackupEvent, SpecBackup } from "./backup.ts";
import type { VersionId } from "./deltas/delta.ts";
import type { KnownVersionsFinder } from "./deltas/known-versions.ts";
import type { EmitSpecEvent } from "./events.ts";
import { type Feed, feedId, listFeeds } from "./feed.ts";
import type { SpecPreparer } from "./payload/preparer.ts";
import type { Snapshot } from "./snapshot.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

type Recovered =
  /** The backup had a newer version, which is held now. */
  | "newer"
  | "nothing_newer"
  /** The version in the backup cannot be served. */
  | "unusable"
  /** The backup fails at the moment. */
  | "failed";

interface SpecRecoveryOptions {
  readonly backup: SpecBackup;
  readonly preparer: SpecPreparer;
  readonly known?: Pick<KnownVersionsFinder, "find">;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly emitBackup: EmitBackupEvent;
  /** Returns what upstream calls a version that a relay has published under another lcut. */
  readonly originalOf?: (feed: Feed, version: VersionId) => Promise<VersionId | undefined>;
}

interface RecoveryStart {
  /** What was held when the caller decided to recover. */
  readonly before: HeldFeed | undefined;
  /** Whether to take another content with the held lcut. */
  readonly replacesContent: boolean;
}

/** Limit of feeds that are remembered as unusable. The backup has entries of valid keys only, so it is hardly ever reached. */
const MAX_UNUSABLE = 10_000;

/** Reads versions back from the backup, and checks them as strictly as those from upstream. */
export class SpecRecovery {
  readonly #options: SpecRecoveryOptions;
  readonly #inFlight = new Map<string, Promise<Recovered>>();
  readonly #unusable = new Set<string>();

  constructor(options: SpecRecoveryOptions) {
    this.#options = options;
  }

  /**
   * Reads the backup once for all concurrent calls for a feed. Never rejects. If `before` was held when the caller decided to
   * recover and has been removed since, the feed is not brought back.
   */
  recover(feed: Feed, before = this.#options.store.peek(feed)): Promise<Recovered> {
    return this.#recoverOnce(feed, { before, replacesContent: false });
  }

  /**
   * As {@link recover}, but also takes another content with the held lcut: another relay has announced that upstream sent it later.
   * A read that is in flight already may not take it.
   */
  recoverContent(feed: Feed): Promise<Recovered> {
    return this.#recoverOnce(feed, { before: this.#options.store.peek(feed), replacesContent: true });
  }

  #recoverOnce(feed: Feed, start: RecoveryStart): Promise<Recovered> {
    const id = feedId(feed);
    let recovery = this.#inFlight.get(id);
    if (recovery === undefined) {
      recovery = this.#recoverNow(feed, start).finally(() => this.#inFlight.delete(id));
      this.#inFlight.set(id, recovery);
    }
    return recovery;
  }

  /** Resolves when no read of the backup is in flight for this feed. */
  async settled(feed: Feed): Promise<void> {
    await this.#inFlight.get(feedId(feed));
  }

  /** Returns whether the version that was last read from the backup is unusable, whatever its lcut. */
  foundUnusable(feed: Feed): boolean {
    return this.#unusable.has(feedId(feed));
  }

  /** A usable version was written to the backup. */
  replaced(feed: Feed): void {
    this.#unusable.delete(feedId(feed));
  }

  async #recoverNow(feed: Feed, start: RecoveryStart): Promise<Recovered> {
    const recovered = await this.#read(feed, start);
    if (recovered === "newer") this.replaced(feed);
    if (recovered === "unusable" && this.#unusable.size < MAX_UNUSABLE) this.#unusable.add(feedId(feed));
    return recovered;
  }

  async #read(feed: Feed, start: RecoveryStart): Promise<Recovered> {
    const { backup, store, clock, emitBackup } = this.#options;
    const startedAt = clock.now();
    try {
      const heldLcut = store.peek(feed)?.snapshot.lcut ?? -1;
      const read = await backup.read(feed, start.replacesContent ? heldLcut - 1 : heldLcut);
      return await this.#publishFirst(feed, start, read, startedAt);
    } catch (error) {
      emitBackup({
        kind: "backup_failed",
        source: backup.source,
        feed,
        action: "read",
        detail: (error as Error).message,
      });
      return "failed";
    }
  }

  /** Publishes the newest copy that is a valid version of the feed. */
  async #publishFirst(
    feed: Feed,
    start: RecoveryStart,
    read: BackupRead,
    startedAt: number,
  ): Promise<Recovered> {
    if (read.kind === "none") return "nothing_newer";
    if (read.kind === "unusable")
      this.#options.emitBackup({ kind: "backup_unusable", feed, detail: read.detail });
    const published = read.kind === "found" ? await this.#publish(feed, start, read, startedAt) : "unusable";
    if (published !== "unusable" && published !== "unverified") return published;
    const older = read.next && (await this.#publishFirst(feed, start, await read.next(), startedAt));
    if (older !== undefined && older !== "nothing_newer") return older;
    return published === "unusable" ? "unusable" : "nothing_newer";
  }

  async #publish(
    feed: Feed,
    { before: after, replacesContent }: RecoveryStart,
    { raw, isUnverified, history }: BackupRead & { readonly kind: "found" },
    startedAt: number,
  ): Promise<Recovered | "unverified"> {
    const { backup, preparer, known, store, clock, emit, emitBackup, originalOf } = this.#options;
    const preparation = await preparer.prepare(raw, await known?.find(feed, history));
    if (preparation.kind !== "prepared") {
      const isRefused = preparation.kind === "refused";
      const detail = isRefused ? preparation.detail : "the entry has no config spec";
      emitBackup({ kind: "backup_unusable", feed, detail });
      return isUnverified && isRefused && preparation.reason === "other_key" ? "unverified" : "unusable";
    }
    const previousLcut = store.peek(feed)?.snapshot.lcut;
    const receivedAt = clock.now();
    const original = await originalOf?.(feed, preparation.payload);
    const snapshot: Snapshot = { ...preparation.payload, feed, source: backup.source, receivedAt, original };
    if (store.publish(snapshot, { after, replacesContent }) !== "published") return "nothing_newer";
    emit({ kind: "spec_updated", snapshot, previousLcut, tookMs: receivedAt - startedAt });
    return "newer";
  }
}

/** Recovers the feed, or else another feed of its SDK key: any entry in the backup proves that the key is valid. */
export async function recoverAny(recovery: SpecRecovery, feed: Feed): Promise<void> {
  const others = listFeeds(feed.sdkKey).filter((other) => feedId(other) !== feedId(feed));
  for (const each of [feed, ...others]) {
    const recovered = await recovery.recover(each);
    if (recovered === "newer" || recovered === "failed") return;
  }
}
