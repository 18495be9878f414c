import type { Clock } from "../platform/clock.ts";
import type { BackupWriter } from "./backup-writer.ts";
import type { Feed } from "./feed.ts";
import type { Fleet } from "./fleet.ts";
import type { SpecRecovery } from "./recovery.ts";
import { DROPPED, type RefreshOutcome, type RefreshPriority, type SpecRefresher } from "./refresh.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

export type AcquireOutcome =
  | RefreshOutcome
  /** The backup answered before upstream did, which is still being asked. */
  | { readonly kind: "recovered" }
  /** Another relay of the fleet asked upstream, or is asking it; look again after `againMs`. */
  | { readonly kind: "followed"; readonly againMs: number };

/** While nothing is held, upstream may take so long before the backup is asked as well; whichever is newer wins. */
const SLOW_UPSTREAM_MS = 1_000;

interface SpecAcquirerOptions {
  readonly refresher: Pick<SpecRefresher, "refresh">;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly recovery?: SpecRecovery;
  readonly fleet?: Fleet;
  readonly writer?: Pick<BackupWriter, "confirmed">;
  /** A key that upstream does not accept is not served from the backup either. */
  readonly clearOnUnauthorized?: boolean;
}

/** Gets the newest version of a feed from wherever it can be had: the fleet, upstream, the backup. */
export class SpecAcquirer {
  readonly #options: SpecAcquirerOptions;

  constructor(options: SpecAcquirerOptions) {
    this.#options = options;
  }

  async acquire(feed: Feed, priority: RefreshPriority): Promise<AcquireOutcome> {
    const { fleet, store } = this.#options;
    // Also a preloaded one, which is polled for ever.
    if (!store.allows(feed.sdkKey)) return { kind: "unauthorized" };
    // A client wants the feed whether or not it was held.
    const asked = priority === "poll" ? store.peek(feed) : undefined;
    const following = await (priority === "poll" ? fleet?.poll(feed, asked) : fleet?.cacheMiss(feed));
    if (following?.kind === "followed") return following;
    // It made room for another key while the fleet was asked: it must not come back.
    if (asked?.ended !== undefined && store.peek(feed) === undefined) return DROPPED;
    return this.#askUpstream(feed, priority, asked);
  }

  async #askUpstream(
    feed: Feed,
    priority: RefreshPriority,
    asked: HeldFeed | undefined,
  ): Promise<AcquireOutcome> {
    const { refresher, recovery, store } = this.#options;
    const refresh = refresher.refresh(feed, priority).then((outcome) => {
      this.#tell(feed, outcome);
      return outcome;
    });
    if (recovery === undefined) return refresh;
    const slow = store.peek(feed) === undefined ? this.#recoverIfSlow(feed, refresh, recovery) : undefined;
    const outcome = await (slow === undefined ? refresh : Promise.race([refresh, slow]));
    // Also for what is held: another relay may have got through to upstream.
    if (outcome.kind === "failed") await recovery.recover(feed, asked);
    if (outcome.kind === "unauthorized") await this.#recoverRevoked(feed, recovery);
    return outcome;
  }

  /** The backup and the fleet, also where the backup was faster and nobody waits for upstream any more. */
  #tell(feed: Feed, outcome: RefreshOutcome): void {
    const { fleet, writer } = this.#options;
    if (outcome.kind === "fresh") {
      fleet?.answered(feed);
      writer?.confirmed(feed);
    } else if (outcome.kind === "unauthorized") {
      fleet?.refused(feed);
    } else {
      fleet?.failed(feed, outcome.kind === "failed" ? outcome.retryAfterMs : undefined);
    }
  }

  /** Unless it is to be cleared: after a restart the backup has what a relay that was not restarted would still serve. */
  async #recoverRevoked(feed: Feed, recovery: SpecRecovery): Promise<void> {
    const { store, clearOnUnauthorized } = this.#options;
    if (!store.allows(feed.sdkKey)) return;
    if (clearOnUnauthorized) {
      // What was being read of the backup meanwhile is not to stay.
      await recovery.settled(feed);
      store.remove(feed, "unauthorized");
      return;
    }
    if (store.peek(feed) === undefined) await recovery.recover(feed);
    store.peek(feed)?.revoke(this.#options.clock);
  }

  async #recoverIfSlow(
    feed: Feed,
    refresh: Promise<RefreshOutcome>,
    recovery: SpecRecovery,
  ): Promise<AcquireOutcome> {
    const answered = new AbortController();
    refresh.then(
      () => answered.abort(),
      () => answered.abort(),
    );
    try {
      await this.#options.clock.sleep(SLOW_UPSTREAM_MS, answered.signal);
    } catch {
      return refresh;
    }
    return (await recovery.recover(feed)) === "newer" ? { kind: "recovered" } : refresh;
  }
}
