import type { NewestVersion } from "../decide.ts";
import type { Feed } from "../feed.ts";
import type { PreparedPayload, Snapshot } from "../snapshot.ts";

/** What becomes of a new version from upstream. */
export type Received =
  /** It is published, or for a pinned key another version in its place. */
  | { readonly kind: "publish"; readonly payload: PreparedPayload; readonly original?: Snapshot["original"] }
  | { readonly kind: "held_back" };

/** What a refresh needs to know of pins. */
export interface VersionGate {
  /** Returns the newest version that upstream is known to have, or the held one if that is from a file and none is known. */
  newest(held: Snapshot): NewestVersion;
  /** Called with each new version from upstream before it is published. Never rejects. */
  receive(feed: Feed, payload: PreparedPayload): Promise<Received>;
}
