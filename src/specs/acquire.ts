import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { BackupWriter } from "./backup-writer.ts";
import type { EmitSpecEvent } from "./events.ts";
import type { Feed } from "./feed.ts";
import type { Fleet } from "./fleet.ts";
import type { SpecRecovery } from "./recovery.ts";
import { DROPPED, type RefreshOutcome, type SpecRefresher } from "./refresh.ts";
import type { RefreshPriority } from "./request-slots.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

export type AcquireOutcome =
  | RefreshOutcome
  /** The backup was faster than upstream. The request to upstream continues. */
  | { readonly kind: "recovered" }
  /** Another relay of the fleet asked upstream, or is asking it; look again after `againMs`. */
  | { readonly kind: "followed"; readonly againMs: number };

/** If a feed is not held, the backup is read as well when upstream takes longer than this. The newer version wins. */
const SLOW_UPSTREAM_MS = 1_000;

interface SpecAcquirerOptions {
  readonly refresher: Pick<SpecRefresher, "refresh">;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly recovery?: SpecRecovery;
  readonly fleet?: Fleet;
  readonly writer?: Pick<BackupWriter, "confirmed">;
  /** If true, a key that upstream rejects is not served from the backup either. */
  readonly clearOnUnauthorized?: boolean;
}

/** Gets the newest version of a feed from the fleet, upstream or the backup. */
export class SpecAcquirer {
  readonly #options: SpecAcquirerOptions;

  constructor(options: SpecAcquirerOptions) {
    this.#options = options;
  }

  async acquire(feed: Feed, priority: RefreshPriority): Promise<AcquireOutcome> {
    const { fleet, store } = this.#options;
    // Preloaded feeds are polled forever, whether or not their key is still allowed.
    if (!store.allows(feed.sdkKey)) return { kind: "unauthorized" };
    // A client wants the feed whether or not it was held.
    const before = priority === "poll" ? store.peek(feed) : undefined;
    const following = await (priority === "poll" ? fleet?.poll(feed, before) : fleet?.cacheMiss(feed));
    if (following?.kind === "followed") return following;
    // The feed was evicted while the fleet was asked: a poll must not re-create it.
    if (before?.ended !== undefined && store.peek(feed) === undefined) return DROPPED;
    return this.#askUpstream(feed, priority, before);
  }

  /** Asks upstream for a held feed now, whatever other relays have found out. Rejects only on shutdown. */
  ask(feed: Feed): Promise<AcquireOutcome> {
    return this.#askUpstream(feed, "cache_miss", this.#options.store.peek(feed));
  }

  async #askUpstream(
    feed: Feed,
    priority: RefreshPriority,
    before: HeldFeed | undefined,
  ): Promise<AcquireOutcome> {
    const { refresher, recovery, store } = this.#options;
    const refresh = refresher.refresh(feed, priority).then((outcome) => {
      this.#report(feed, outcome);
      return outcome;
    });
    if (recovery === undefined) {
      const outcome = await refresh;
      this.#reportMissing(feed, outcome);
      return outcome;
    }
    const isMissing = store.peek(feed) === undefined;
    const outcome = await (isMissing
      ? Promise.race([refresh, this.#recoverIfSlow(feed, refresh, recovery)])
      : refresh);
    // Also for a held feed: another relay may have reached upstream.
    if (outcome.kind === "failed") {
      await recovery.recover(feed, before);
      this.#reportMissing(feed, outcome);
    }
    if (outcome.kind === "unauthorized") await this.#recoverRevoked(feed, recovery);
    return outcome;
  }

  /** Reports the outcome to the backup and the fleet, even if the backup was faster and no client waits any more. */
  #report(feed: Feed, outcome: RefreshOutcome): void {
    const { fleet, writer } = this.#options;
    if (outcome.kind === "fresh") {
      fleet?.upstreamConfirmed(feed);
      writer?.confirmed(feed);
    } else if (outcome.kind === "unauthorized") {
      fleet?.upstreamUnauthorized(feed);
    } else {
      fleet?.upstreamFailed(feed, outcome.kind === "failed" ? outcome.retryAfterMs : undefined);
    }
  }

  /** Reports a failure of upstream that leaves clients without the feed. Only the backup's answer shows it. */
  #reportMissing(feed: Feed, outcome: RefreshOutcome): void {
    const { store, emit } = this.#options;
    if (outcome.kind !== "failed" || outcome.reason === undefined || store.peek(feed) !== undefined) return;
    emit({ kind: "spec_unavailable", feed, ...outcome.reason });
  }

  /** Serves a rejected key from the backup, as a relay that was not restarted would, unless such keys are to be cleared. */
  async #recoverRevoked(feed: Feed, recovery: SpecRecovery): Promise<void> {
    const { store, clock, clearOnUnauthorized } = this.#options;
    if (!store.allows(feed.sdkKey)) return;
    if (clearOnUnauthorized) {
      // A read of the backup that is in flight would bring the feed back.
      await recovery.settled(feed);
      store.remove(feed, "unauthorized");
      return;
    }
    if (store.peek(feed) === undefined) await recovery.recover(feed);
    store.peek(feed)?.revoke(clock);
  }

  async #recoverIfSlow(
    feed: Feed,
    refresh: Promise<RefreshOutcome>,
    recovery: SpecRecovery,
  ): Promise<AcquireOutcome> {
    const inTime = await withTimeout(refresh, SLOW_UPSTREAM_MS, this.#options.clock);
    if (inTime !== undefined) return inTime;
    return (await recovery.recover(feed)) === "newer" ? { kind: "recovered" } : refresh;
  }
}
