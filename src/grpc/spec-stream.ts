import { WakeSignal } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { VersionId } from "../specs/deltas/delta.ts";
import { isNewsTo, isOtherContent, type Snapshot } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";

/** After this long without a new version, a stream sends a "no update" message (docs/protocol.md, Heartbeat). */
export const HEARTBEAT_MS = 30_000;

/** A message to a client. */
export type SpecItem =
  | { readonly kind: "spec"; readonly snapshot: Snapshot }
  /** `lcut` is the one sent last, never a larger one: clients may store it as theirs (docs/protocol.md, Heartbeat). */
  | { readonly kind: "no_update"; readonly lcut: number };

/**
 * Yields the held version, then each newer one and each other content with its lcut, until the feed ends. A slow reader gets the
 * latest version, since nothing is queued. Rejects with `signal.reason` when aborted.
 */
export async function* followSpecs(
  held: HeldFeed,
  sinceTime: number,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<SpecItem, void, undefined> {
  signal.throwIfAborted();
  const changes = new WakeSignal();
  const unfollow = held.follow(() => changes.notify());
  // A generator that is never resumed never reaches its finally: a client can reset a stream without reading it.
  signal.addEventListener("abort", unfollow, { once: true });
  try {
    const { lcut, checksum } = held.snapshot;
    const isUpToDate = !isNewsTo(sinceTime, held.snapshot);
    // Clients of streams send no checksum. One with the held lcut is taken to have the held content.
    let known: VersionId = {
      lcut: isUpToDate ? sinceTime : -1,
      checksum: sinceTime === lcut ? checksum : "",
    };
    let sentLcut = lcut;
    if (isUpToDate) yield { kind: "no_update", lcut: sentLcut };
    while (held.ended === undefined) {
      const { snapshot } = held;
      const isNews = snapshot.lcut > known.lcut || isOtherContent(snapshot, known);
      if (snapshot.lcut >= known.lcut) known = { lcut: snapshot.lcut, checksum: snapshot.checksum };
      if (isNews) {
        sentLcut = snapshot.lcut;
        yield { kind: "spec", snapshot };
      } else if (!(await changes.wait(HEARTBEAT_MS, clock, signal))) {
        yield { kind: "no_update", lcut: sentLcut };
      }
    }
  } finally {
    unfollow();
    signal.removeEventListener("abort", unfollow);
  }
}
