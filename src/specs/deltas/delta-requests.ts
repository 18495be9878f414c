import type { Clock } from "../../platform/clock.ts";
import type { HeldVersion } from "../source.ts";
import type { HeldFeed } from "../store.ts";
import type { VersionId } from "./delta.ts";

/** How long whole versions of a feed are requested after a delta was refused: the next ones would likely be refused as well. */
const PAUSE_MS = 3_600_000;

/** Decides for which feeds upstream may send deltas. */
export class DeltaRequests {
  readonly #clock: Clock;
  readonly #pausedUntil = new WeakMap<HeldFeed, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Returns what a request says about the held version. `version` is what it names; without a checksum, that may stand for several
   * contents, so that no delta from it can be known to fit.
   */
  offer(version: VersionId, held: HeldFeed | undefined): HeldVersion {
    const snapshot = held?.snapshot;
    if (held === undefined || snapshot?.format !== "proto" || version.checksum === "") return version;
    // Upstream does not know a version that the relay published again.
    if (snapshot.original !== undefined || version.lcut !== snapshot.lcut) return version;
    const isPaused = this.#clock.elapsed() < (this.#pausedUntil.get(held) ?? 0);
    return isPaused ? version : { ...version, deltaBase: snapshot.bytes };
  }

  /** A delta for this feed was refused. */
  pause(held: HeldFeed): void {
    this.#pausedUntil.set(held, this.#clock.elapsed() + PAUSE_MS);
  }
}
