import { randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { findSdkKeys } from "../access/find-key.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type Feed, feedId, listFeeds } from "./feed.ts";
import type { SpecStore } from "./store.ts";

/** Which relay asks upstream for a feed because of a push. */
export type PushTurn =
  /** The relay that looked. */
  | "ours"
  /** Another relay has claimed the feed for this push. */
  | "theirs"
  /** The feed was claimed for another push less than a second ago. */
  | "too_soon";

/** How the relays of a fleet share a push. Every method rejects if the channel fails at the moment. */
export interface PushChannel {
  /** Claims a feed for a push, whatever was confirmed or claimed before: of concurrent relays, only one gets the claim. */
  claimForPush(feed: Feed, push: string, claimedForMs: number): Promise<PushTurn>;
  /** Notifies all relays, this one included. `topics`: the feeds to poll, or all. */
  announcePush(push: string, topics: PushTopics): Promise<void>;
  onPushed(listener: (push: string, topics: PushTopics) => void): void;
  toTopic(feed: Feed): string;
}

export type PushTopics = ReadonlySet<string> | "all";

/** What else is refreshed with a key: its ID lists, which each relay fetches for itself. */
interface OtherContent {
  keys(): Iterable<SdkKey>;
  /** Resolves with whether upstream answered. Rejects only on shutdown. */
  refresh(sdkKey: SdkKey): Promise<boolean>;
}

interface PushesOptions {
  /** Returns the feeds that are polled. */
  readonly polled: () => Iterable<Feed>;
  readonly pollAfresh: SpecAcquirer["pollAfresh"];
  readonly store: SpecStore;
  readonly idLists: OtherContent;
  /** Resolves when clients get what was published before. */
  readonly reachClients: () => Promise<void>;
  /** Undefined without a fleet. */
  readonly channel: PushChannel | undefined;
  readonly supervisor: Supervisor;
  readonly clock: Clock;
  readonly intervalMs: () => number;
}

/** What came of a push, as far as it has come. */
export interface PushResult {
  /** Feeds for which this relay has asked upstream. */
  readonly polled: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly failed: number;
  /** Feeds whose response is still awaited. */
  readonly pending: number;
  /** Feeds that another relay polls, or this one did for a push less than a second ago. */
  readonly skipped: number;
  /** ID lists of SDK keys that upstream has sent. */
  readonly idLists: number;
  /** Whether the other relays of the fleet were notified. */
  readonly fleet: boolean;
  /** Why feeds failed, each reason once. */
  readonly errors: readonly string[];
}

type Progress = { -readonly [Name in keyof Omit<PushResult, "errors">]: PushResult[Name] } & {
  readonly errors: Set<string>;
};

/** The least time between two pushes of an SDK key, so that nothing can flood upstream. */
const EVERY_MS = 1_000;
/** How long the caller waits for the result. Polls that take longer go on. */
const WAIT_MS = 10_000;
/** A channel that does not respond within this time has failed. */
const CHANNEL_TIMEOUT_MS = 1_000;
/** Requests are shorter: a relay that claimed earlier for a push has died, or cannot reach upstream. */
const CLAIMED_INTERVALS = 0.9;
const MAX_CLAIMED_MS = 60_000;
/** More keys than this are not remembered; a relay that holds more has a limit of its own. */
const MAX_KEYS = 100_000;
const MAX_ERRORS = 5;

/** Polls feeds now because an operator knows of a change, on all relays of the fleet with one request for each feed. */
export class SpecPushes implements Disposable {
  readonly #options: PushesOptions;
  readonly #stopping = new AbortController();
  /** Feeds whose second attempt at a claim is to come. */
  readonly #waiting = new Set<string>();
  readonly #pushedAt = new LRUCache<SdkKey, number>({ max: MAX_KEYS });
  /** Pushes of this relay, whose notices it gets as well. */
  readonly #own = new LRUCache<string, true>({ max: 1_000 });

  constructor(options: PushesOptions) {
    this.#options = options;
    const { channel } = options;
    channel?.onPushed((push, topics) => {
      if (!this.#own.has(push)) void this.#supervise(() => this.#follow(push, topics, channel));
    });
  }

  /** Returns the keys that the text names: whole, or masked as the status page shows them. */
  findKeys(named: string): readonly SdkKey[] {
    return findSdkKeys(named, this.#keys());
  }

  /**
   * Resolves when all feeds of the key, or of all keys, have been polled, or after 10 s. Returns the ms after which to try again if
   * the key, or each of them, was pushed less than a second ago.
   */
  async push(target: SdkKey | "all"): Promise<PushResult | { readonly retryAfterMs: number }> {
    const now = this.#options.clock.elapsed();
    const keys: ReadonlySet<SdkKey> = target === "all" ? this.#keys() : new Set([target]);
    const waitMs = (sdkKey: SdkKey) =>
      (this.#pushedAt.get(sdkKey) ?? Number.NEGATIVE_INFINITY) + EVERY_MS - now;
    const due = new Set([...keys].filter((sdkKey) => waitMs(sdkKey) <= 0));
    if (due.size === 0 && keys.size > 0) return { retryAfterMs: Math.min(...Array.from(keys, waitMs)) };
    for (const sdkKey of due) this.#pushedAt.set(sdkKey, now);
    const push = randomBytes(12).toString("base64url");
    this.#own.set(push, true);
    const feeds = [...this.#options.polled()].filter(({ sdkKey }) => keys.has(sdkKey));
    const claims = feeds.filter(({ sdkKey }) => due.has(sdkKey)).map((feed) => this.#claimOrSkip(feed, push));
    const ours = (await Promise.all(claims)).flat();
    // Once this relay has its claims: the others have nothing to ask upstream for but what it does not poll.
    const fleet = await this.#announce(push, target);
    return await this.#poll({ feeds: ours, keys: due, skipped: feeds.length - ours.length, fleet });
  }

  #keys(): Set<SdkKey> {
    const { polled, idLists } = this.#options;
    return new Set([...Array.from(polled(), ({ sdkKey }) => sdkKey), ...idLists.keys()]);
  }

  async #claimOrSkip(feed: Feed, push: string): Promise<readonly Feed[]> {
    return (await this.#claim(feed, push)) === "ours" ? [feed] : [];
  }

  /**
   * Claims a feed. After a push of another relay, waits until it can be claimed again. If then yet another relay has claimed it, its
   * request is later than this push, and serves for both.
   */
  async #claim(feed: Feed, push: string): Promise<PushTurn> {
    const turn = await this.#tryToClaim(feed, push);
    const id = feedId(feed);
    if (turn !== "too_soon" || this.#waiting.has(id)) return turn;
    this.#waiting.add(id);
    try {
      await this.#options.clock.sleep(EVERY_MS, this.#stopping.signal);
    } finally {
      this.#waiting.delete(id);
    }
    return this.#tryToClaim(feed, push);
  }

  /** If the channel fails, this relay asks upstream for itself. */
  async #tryToClaim(feed: Feed, push: string): Promise<PushTurn> {
    const { channel, clock, intervalMs } = this.#options;
    if (channel === undefined) return "ours";
    const claimedForMs = Math.min(CLAIMED_INTERVALS * intervalMs(), MAX_CLAIMED_MS);
    const claim = channel.claimForPush(feed, push, claimedForMs);
    return (await withTimeout(claim, CHANNEL_TIMEOUT_MS, clock).catch(() => undefined)) ?? "ours";
  }

  async #announce(push: string, target: SdkKey | "all"): Promise<boolean> {
    const { channel, clock } = this.#options;
    if (channel === undefined) return false;
    const topics = target === "all" ? "all" : topicsOf(target, channel);
    const announced = channel.announcePush(push, topics).then(() => true);
    return (await withTimeout(announced, CHANNEL_TIMEOUT_MS, clock).catch(() => false)) ?? false;
  }

  async #poll({ feeds, keys, skipped, fleet }: Work): Promise<PushResult> {
    const { clock, idLists } = this.#options;
    const pending = feeds.length;
    const counts = { polled: pending, updated: 0, unchanged: 0, failed: 0, pending, skipped };
    const progress: Progress = { ...counts, idLists: 0, fleet, errors: new Set() };
    const polls = feeds.map((feed) => this.#supervise(() => this.#pollOne(feed, progress)));
    const lists = [...idLists.keys()].filter((sdkKey) => keys.has(sdkKey));
    const refreshes = lists.map((sdkKey) =>
      this.#supervise(async () => {
        if (await idLists.refresh(sdkKey)) progress.idLists++;
      }),
    );
    await withTimeout(Promise.all([...polls, ...refreshes]), WAIT_MS, clock);
    await this.#options.reachClients();
    return { ...progress, errors: [...progress.errors] };
  }

  /** On shutdown, every poll rejects. */
  #supervise(work: () => Promise<void>): Promise<void> {
    return this.#options.supervisor.task("pushes", () =>
      work().catch((error: unknown) => {
        if (!this.#stopping.signal.aborted) throw error;
      }),
    );
  }

  async #pollOne(feed: Feed, progress: Progress): Promise<void> {
    const { store, pollAfresh } = this.#options;
    const before = store.peek(feed)?.snapshot;
    const outcome = await pollAfresh(feed);
    progress.pending--;
    if (outcome.kind !== "failed" && outcome.kind !== "unauthorized" && outcome.kind !== "full") {
      progress[store.peek(feed)?.snapshot === before ? "unchanged" : "updated"]++;
      return;
    }
    progress.failed++;
    if (progress.errors.size < MAX_ERRORS) progress.errors.add(describeFailure(outcome));
  }

  /** Another relay pushes: polls those of the feeds that no other relay has claimed. New versions are announced to the others. */
  async #follow(push: string, topics: PushTopics, channel: PushChannel): Promise<void> {
    const { polled, pollAfresh, idLists } = this.#options;
    const isMeant = (feed: Feed) => topics === "all" || topics.has(channel.toTopic(feed));
    const feeds = [...polled()].filter(isMeant);
    const lists = [...idLists.keys()].filter((sdkKey) => listFeeds(sdkKey).some(isMeant));
    await Promise.all([
      ...feeds.map(async (feed) => {
        if ((await this.#claim(feed, push)) === "ours") await pollAfresh(feed);
      }),
      ...lists.map((sdkKey) => idLists.refresh(sdkKey)),
    ]);
  }

  [Symbol.dispose](): void {
    this.#stopping.abort(new Error("the relay is shutting down"));
  }
}

interface Work {
  readonly feeds: readonly Feed[];
  readonly keys: ReadonlySet<SdkKey>;
  readonly skipped: number;
  readonly fleet: boolean;
}

const topicsOf = (sdkKey: SdkKey, channel: PushChannel): PushTopics =>
  new Set(listFeeds(sdkKey).map((feed) => channel.toTopic(feed)));

type Failure = Extract<AcquireOutcome, { kind: "failed" | "unauthorized" | "full" }>;

function describeFailure(outcome: Failure): string {
  switch (outcome.kind) {
    case "unauthorized":
      return "upstream rejected the SDK key";
    case "full":
      return "the relay holds as many SDK keys as --maximum-concurrent-sdk-keys allows";
    case "failed":
      return outcome.reason ? `${outcome.reason.cause}: ${outcome.reason.detail}` : "the poll was given up";
  }
}
