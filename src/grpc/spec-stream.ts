import { WakeSignal } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { isNewsTo, type Snapshot } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";

/** Without a new version for so long, a client is told that there is none (WIRE 3). */
export const HEARTBEAT_MS = 30_000;

/** What a client is told. */
export type SpecItem =
  | { readonly kind: "spec"; readonly snapshot: Snapshot }
  /** `lcut` is the one that was sent last, never a larger one: clients may take it for theirs (WIRE 3). */
  | { readonly kind: "no_update"; readonly lcut: number };

/**
 * The version that is held, then each newer one, for as long as the feed is held. A reader that is slower
 * than the versions come gets the latest: nothing is queued. Rejects with the signal's reason.
 */
export async function* followSpecs(
  held: HeldFeed,
  sinceTime: number,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<SpecItem, void, undefined> {
  signal.throwIfAborted();
  const news = new WakeSignal();
  const unfollow = held.follow(() => news.notify());
  // A generator that is never resumed never reaches its finally: a client can reset a stream that it does not read.
  signal.addEventListener("abort", unfollow, { once: true });
  try {
    const isUpToDate = !isNewsTo(sinceTime, held.snapshot);
    let known = isUpToDate ? sinceTime : -1;
    let sentLcut = held.snapshot.lcut;
    if (isUpToDate) yield { kind: "no_update", lcut: sentLcut };
    while (held.ended === undefined) {
      const { snapshot } = held;
      if (snapshot.lcut > known) {
        known = sentLcut = snapshot.lcut;
        yield { kind: "spec", snapshot };
      } else if (!(await news.wait(HEARTBEAT_MS, clock, signal))) {
        yield { kind: "no_update", lcut: sentLcut };
      }
    }
  } finally {
    unfollow();
    signal.removeEventListener("abort", unfollow);
  }
}
