import { withTimeout } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import { type Feed, feedDigest, feedId } from "../feed.ts";
import type { Snapshot } from "../snapshot.ts";
import type { SpecStore } from "../store.ts";
import type { KnownVersions } from "./compute.ts";

interface KnownVersionsOptions {
  readonly store: SpecStore;
  readonly clock: Clock;
  /** Limit of earlier versions of a feed from which clients get deltas; 0 turns deltas off. */
  readonly bases: number;
}

/** Reads the history that other relays stored. */
type ReadHistory = (feed: Feed) => Promise<Uint8Array | undefined>;

/** Limit of histories and deltas of all feeds. A history takes about 30 bytes per entity. */
const MAX_BYTES = 64 * 1024 * 1024;

/** How long a new version waits for the history in the backup. */
const READ_TIMEOUT_MS = 250;

/** Finds what is known of earlier versions of a feed, for the deltas of the next one. */
export class KnownVersionsFinder {
  readonly #options: KnownVersionsOptions;
  readonly #bytes = new Map<string, number>();
  #totalBytes = 0;

  constructor(options: KnownVersionsOptions) {
    this.#options = options;
    options.store.listen({
      published: ({ feed, snapshot }) => this.#count(feed, sumBytes(snapshot)),
      removed: ({ feed }) => this.#count(feed, 0),
    });
  }

  /** Histories and deltas of all feeds that are held. */
  get heldBytes(): number {
    return this.#totalBytes;
  }

  /**
   * Returns undefined if the feed gets no deltas: only protobuf has any, and those of all feeds have a common memory limit. `stored`
   * is the history from a backup, or how to read it; if that takes too long, or fails, the relay does without.
   */
  async find(feed: Feed, stored: Uint8Array | ReadHistory | undefined): Promise<KnownVersions | undefined> {
    const { bases, store, clock } = this.#options;
    if (bases === 0 || feed.format !== "proto" || this.#isFull(feed)) return undefined;
    const reading = typeof stored === "function" ? stored(feed).catch(() => undefined) : undefined;
    const read = reading === undefined ? stored : await withTimeout(reading, READ_TIMEOUT_MS, clock);
    const held = store.peek(feed)?.snapshot.history;
    const histories = [held, read].filter((each) => each instanceof Uint8Array);
    return { feed: feedDigest(feed, "base64url"), depth: bases + 1, histories };
  }

  /** What the feed itself takes does not count: its next version replaces it. */
  #isFull(feed: Feed): boolean {
    return this.#totalBytes - (this.#bytes.get(feedId(feed)) ?? 0) >= MAX_BYTES;
  }

  #count(feed: Feed, bytes: number): void {
    const id = feedId(feed);
    this.#totalBytes += bytes - (this.#bytes.get(id) ?? 0);
    if (bytes === 0) this.#bytes.delete(id);
    else this.#bytes.set(id, bytes);
  }
}

function sumBytes({ history, deltas = [] }: Snapshot): number {
  return deltas.reduce((sum, { bytes }) => sum + bytes.length, history?.length ?? 0);
}
