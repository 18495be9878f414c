import type { AcquireOutcome } from "../specs/acquire.ts";
import type { Feed } from "../specs/feed.ts";
import type { SpecRecovery } from "../specs/recovery.ts";
import type { RefreshPriority } from "../specs/request-slots.ts";
import type { SpecStore } from "../specs/store.ts";
import type { EmitBootstrapEvent } from "./events.ts";
import type { BootstrapRecovery } from "./recovery.ts";

interface OfflineAcquirerOptions {
  readonly files: Pick<BootstrapRecovery, "recover">;
  /** The backup, from which a feed is served that no file has, or that it has a newer version of. */
  readonly recovery: Pick<SpecRecovery, "recover"> | undefined;
  readonly store: SpecStore;
  readonly emit: EmitBootstrapEvent;
}

/** Gets the newest version of a feed from files and the backup alone. */
export class OfflineAcquirer {
  readonly #options: OfflineAcquirerOptions;

  constructor(options: OfflineAcquirerOptions) {
    this.#options = options;
  }

  async acquire(feed: Feed, priority: RefreshPriority): Promise<AcquireOutcome> {
    const { files, recovery, store, emit } = this.#options;
    if (!store.allows(feed.sdkKey)) return { kind: "unauthorized" };
    await files.recover(feed);
    await recovery?.recover(feed);
    if (store.peek(feed) !== undefined) return { kind: "recovered" };
    // Both API versions of a key are preloaded, even if its clients use one.
    if (priority === "cache_miss") emit({ kind: "bootstrap_missing", feed });
    return { kind: "failed", retryAfterMs: undefined };
  }

  /** Gets feeds that no client has asked for yet. Reports those whose SDK key has nothing at all. Never rejects. */
  async preload(feeds: readonly Feed[]): Promise<void> {
    const { store, emit } = this.#options;
    for (const feed of feeds) if (store.peek(feed) === undefined) await this.acquire(feed, "poll");
    const missing = new Map(feeds.map((feed) => [feed.sdkKey, feed]));
    for (const [sdkKey, feed] of missing) {
      if (store.allows(sdkKey) && !store.holds(sdkKey)) emit({ kind: "bootstrap_missing", feed });
    }
  }
}
