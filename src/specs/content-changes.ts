import type { Clock } from "../platform/clock.ts";
import { isFromFile } from "./decide.ts";
import type { VersionId } from "./deltas/delta.ts";
import { type Feed, feedId } from "./feed.ts";
import type { VersionGate } from "./pins/version-gate.ts";
import { upstreamId } from "./snapshot.ts";
import { NOTHING_HELD } from "./source.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

/** The contents that a feed has had under its present lcut. */
interface Contents {
  readonly lcut: number;
  /** Their checksums, at most {@link MAX_CONTENTS}. */
  readonly seen: Set<string>;
  /** How often the feed went back to a content that it had before. */
  returns: number;
  /** When the content changed last, as in {@link Clock.elapsed}. */
  changedAt: number;
  /** Whether upstream has sent a content since then that has to wait. */
  hasWaiting: boolean;
}

/** Further contents of one lcut count as earlier ones: upstream may send another checksum with each response. */
const MAX_CONTENTS = 20;
/** The first returns to an earlier content happen at once: a change may have been undone. */
const IMMEDIATE_RETURNS = 3;
/** How long the next one waits. Doubles with each. */
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 10 * 60_000;

/**
 * Keeps an upstream whose servers have different contents under one lcut from changing what is served with every poll. A content
 * that the feed never had is taken at once, one that it had before only after a wait. During the wait upstream is asked by lcut alone, so
 * that it does not send that content each time.
 */
export class ContentChanges {
  readonly #clock: Clock;
  readonly #contents = new Map<string, Contents>();

  constructor(store: Pick<SpecStore, "listen">, clock: Clock) {
    this.#clock = clock;
    store.listen({
      published: ({ feed, snapshot }) => this.#record(feed, upstreamId(snapshot)),
      removed: ({ feed }) => this.#contents.delete(feedId(feed)),
    });
  }

  /** Returns the version to name in a request to upstream. `gate` knows of newer ones that are not served. */
  toRequest(held: HeldFeed | undefined, gate?: Pick<VersionGate, "newest">): VersionId {
    if (held === undefined) return NOTHING_HELD;
    const newest = gate?.newest(held.snapshot) ?? held.snapshot;
    // What a file has is no version that upstream is known to have: the whole newest one is requested, and takes its place.
    if (isFromFile(newest)) return NOTHING_HELD;
    const { lcut, checksum } = newest;
    const contents = this.#contents.get(feedId(held.feed));
    const mustWait = contents?.hasWaiting === true && this.#isWaiting(contents);
    return { lcut, checksum: mustWait ? "" : checksum };
  }

  /** Returns whether this content of the held lcut, which upstream has just sent, must not replace the held one yet. */
  mustWait(feed: Feed, { lcut, checksum }: VersionId): boolean {
    const contents = this.#contents.get(feedId(feed));
    if (contents?.lcut !== lcut || !isReturn(contents, checksum) || !this.#isWaiting(contents)) return false;
    contents.hasWaiting = true;
    return true;
  }

  #isWaiting({ returns, changedAt }: Contents): boolean {
    if (returns < IMMEDIATE_RETURNS) return false;
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (returns - IMMEDIATE_RETURNS), LONGEST_WAIT_MS);
    return this.#clock.elapsed() - changedAt < waitMs;
  }

  #record(feed: Feed, { lcut, checksum }: VersionId): void {
    const id = feedId(feed);
    const contents = this.#contents.get(id);
    const changedAt = this.#clock.elapsed();
    if (contents?.lcut !== lcut) {
      this.#contents.set(id, { lcut, seen: new Set([checksum]), returns: 0, changedAt, hasWaiting: false });
      return;
    }
    if (isReturn(contents, checksum)) contents.returns++;
    else contents.seen.add(checksum);
    contents.changedAt = changedAt;
    contents.hasWaiting = false;
  }
}

function isReturn({ seen }: Contents, checksum: string): boolean {
  return seen.has(checksum) || seen.size >= MAX_CONTENTS;
}
