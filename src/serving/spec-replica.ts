import type { SdkKey } from "../access/sdk-key.ts";
import type { Instant } from "../platform/clock.ts";
import type { ApiVersion, Feed, SpecFormat } from "../specs/feed.ts";
import type { SpecLookup, SpecLookups } from "../specs/query.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import { type FeedEnd, type HeldFeed, SpecStore } from "../specs/store.ts";

/** A change of the store, for the replicas. */
export type SpecUpdate =
  | { readonly kind: "published"; readonly snapshot: Snapshot; readonly confirmed: Instant | undefined }
  | { readonly kind: "confirmed"; readonly feed: Feed; readonly confirmed: Instant }
  | { readonly kind: "removed"; readonly feed: Feed; readonly reason: FeedEnd };

/** How clients of a thread use the feeds, which decides what the store evicts. */
export type SpecUse =
  /** Feeds that clients requested since the last report, in the order of the requests. */
  | { readonly kind: "used"; readonly feeds: readonly Feed[] }
  /** The number of streams of this thread that follow a feed. */
  | { readonly kind: "followed"; readonly feed: Feed; readonly followers: number };

/** The result of asking the control plane. What is held is in the replica by then. */
export type AskReply = Exclude<SpecLookup, { kind: "held" }> | { readonly kind: "held"; readonly feed: Feed };

interface SpecReplicaOptions {
  readonly report: (use: SpecUse) => void;
  readonly ask: (feed: Feed) => Promise<AskReply>;
}

/** How often the control plane learns which feeds are in use, beside each time when the thread asks for one. */
const REPORT_EVERY_MS = 1_000;

/** When a feed was evicted between the reply and its reading. */
const ASK_AGAIN_AFTER_MS = 1_000;

/**
 * The copy of the store that a serving thread responds from. Payload bytes are shared with the store, not copied. Confirmations
 * have the `elapsed` of the main thread's clock, which orders them; the clock of another thread began at another time.
 */
export class SpecReplica implements SpecLookups, Disposable {
  readonly store = new SpecStore({ maxKeys: Number.POSITIVE_INFINITY });
  readonly #options: SpecReplicaOptions;
  readonly #reporting: NodeJS.Timeout;
  #used: HeldFeed[] = [];

  constructor(options: SpecReplicaOptions) {
    this.#options = options;
    this.store.listen({
      used: (held) => this.#used.push(held),
      // Streams of a feed that was removed may end after it is held again: what counts is the feed that is held now.
      followed: ({ feed }) => {
        const followers = this.store.peek(feed)?.followers ?? 0;
        options.report({ kind: "followed", feed, followers });
      },
    });
    this.#reporting = setInterval(() => this.#reportUsed(), REPORT_EVERY_MS).unref();
  }

  apply(update: SpecUpdate): void {
    switch (update.kind) {
      case "published":
        this.store.publish(update.snapshot, { confirmed: update.confirmed, replacesContent: true });
        return;
      case "confirmed":
        this.store.confirm(update.feed, update.confirmed);
        return;
      case "removed":
        this.store.remove(update.feed, update.reason);
    }
  }

  held(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined {
    return this.store.find(sdkKey, version, format);
  }

  async ask(sdkKey: SdkKey, version: ApiVersion, format: SpecFormat): Promise<SpecLookup> {
    // A new feed may evict another one: the store must know by then which ones were used last.
    this.#reportUsed();
    const reply = await this.#options.ask({ sdkKey, version, format });
    if (reply.kind !== "held") return reply;
    const { feed } = reply;
    const held = this.held(feed.sdkKey, feed.version, feed.format);
    return held === undefined
      ? { kind: "unavailable", retryAfterMs: ASK_AGAIN_AFTER_MS }
      : { kind: "held", held };
  }

  #reportUsed(): void {
    if (this.#used.length === 0) return;
    const used = this.#used.filter(({ ended }) => ended === undefined);
    this.#used = [];
    for (const held of used) held.wasUsed = false;
    if (used.length > 0) this.#options.report({ kind: "used", feeds: used.map(({ feed }) => feed) });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#reporting);
  }
}
