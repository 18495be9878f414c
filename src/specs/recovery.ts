import type { Clock } from "../platform/clock.ts";
import type { EmitBackupEvent, SpecBackup } from "./backup.ts";
import type { EmitSpecEvent } from "./events.ts";
import { type Feed, feedId, listFeeds } from "./feed.ts";
import type { RawPayload } from "./payload/payload.ts";
import type { SpecPreparer } from "./payload/preparer.ts";
import type { Snapshot } from "./snapshot.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

type Recovered =
  /** The backup had a newer version: it is held now. */
  | "newer"
  | "nothing_newer"
  /** What the backup has can't be served. */
  | "unusable"
  /** The backup does not work just now. */
  | "failed";

interface SpecRecoveryOptions {
  readonly backup: SpecBackup;
  readonly preparer: SpecPreparer;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly emitBackup: EmitBackupEvent;
}

/** Feeds whose entry was found to be unusable, at most; the backup holds entries of true keys alone. */
const MAX_UNUSABLE = 10_000;

/** Takes versions back from the backup, as carefully as from upstream. */
export class SpecRecovery {
  readonly #options: SpecRecoveryOptions;
  readonly #underway = new Map<string, Promise<Recovered>>();
  readonly #unusable = new Set<string>();

  constructor(options: SpecRecoveryOptions) {
    this.#options = options;
  }

  /**
   * However many ask at the same moment, the backup is read once. Never rejects. What was held as `asked` and is
   * no longer is not brought back.
   */
  recover(feed: Feed, asked = this.#options.store.peek(feed)): Promise<Recovered> {
    const id = feedId(feed);
    let recovery = this.#underway.get(id);
    if (recovery === undefined) {
      recovery = this.#recoverNow(feed, asked).finally(() => this.#underway.delete(id));
      this.#underway.set(id, recovery);
    }
    return recovery;
  }

  /** Resolves when the backup is not being read for this feed. */
  async settled(feed: Feed): Promise<void> {
    await this.#underway.get(feedId(feed));
  }

  /** Whether what the backup had when it was last read can't be served, whatever its version. */
  foundUnusable(feed: Feed): boolean {
    return this.#unusable.has(feedId(feed));
  }

  /** The backup has been given a version that can be served. */
  replaced(feed: Feed): void {
    this.#unusable.delete(feedId(feed));
  }

  async #recoverNow(feed: Feed, asked: HeldFeed | undefined): Promise<Recovered> {
    const recovered = await this.#readNow(feed, asked);
    if (recovered === "newer") this.replaced(feed);
    if (recovered === "unusable" && this.#unusable.size < MAX_UNUSABLE) this.#unusable.add(feedId(feed));
    return recovered;
  }

  async #readNow(feed: Feed, asked: HeldFeed | undefined): Promise<Recovered> {
    const { backup, store, clock, emitBackup } = this.#options;
    const startedAt = clock.now();
    try {
      const read = await backup.read(feed, store.peek(feed)?.snapshot.lcut ?? -1);
      switch (read.kind) {
        case "found":
          return await this.#take(feed, asked, read.raw, startedAt);
        case "none":
          return "nothing_newer";
        case "unusable":
          emitBackup({ kind: "backup_unusable", feed, detail: read.detail });
          return "unusable";
      }
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

  async #take(
    feed: Feed,
    asked: HeldFeed | undefined,
    raw: RawPayload,
    startedAt: number,
  ): Promise<Recovered> {
    const { backup, preparer, store, clock, emit, emitBackup } = this.#options;
    const preparation = await preparer.prepare(raw);
    if (preparation.kind !== "prepared") {
      const detail = preparation.kind === "refused" ? preparation.detail : "the entry has no config spec";
      emitBackup({ kind: "backup_unusable", feed, detail });
      return "unusable";
    }
    const previousLcut = store.peek(feed)?.snapshot.lcut;
    const receivedAt = clock.now();
    const snapshot: Snapshot = { ...preparation.payload, feed, source: backup.source, receivedAt };
    if (store.publish(snapshot, { after: asked }) !== "published") return "nothing_newer";
    emit({ kind: "spec_updated", snapshot, previousLcut, tookMs: receivedAt - startedAt });
    return "newer";
  }
}

/** Takes the feed back, else another of its key: that any is there shows that the key is a valid one. */
export async function recoverAny(recovery: SpecRecovery, feed: Feed): Promise<void> {
  const others = listFeeds(feed.sdkKey).filter((other) => feedId(other) !== feedId(feed));
  for (const each of [feed, ...others]) {
    const recovered = await recovery.recover(each);
    if (recovered === "newer" || recovered === "failed") return;
  }
}
