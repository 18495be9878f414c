import type { SdkKey } from "../../access/sdk-key.ts";
import { isFromFile, type NewestVersion } from "../decide.ts";
import type { VersionId } from "../deltas/delta.ts";
import type { Feed } from "../feed.ts";
import { type Snapshot, upstreamId } from "../snapshot.ts";
import type { KeptVersions } from "../versions/kept-versions.ts";
import { type PinnedVersion, toForm } from "./pin-document.ts";
import type { PinRecords } from "./pin-records.ts";

/** A pin that applies: no other version of the key replaces the pinned one. */
export interface ActivePin {
  /** An operator, over the API, or `--pin`. */
  readonly source: "operator" | "config";
  /** Ms since the Unix epoch; undefined for `--pin`. */
  readonly since: number | undefined;
  /** The address of the operator's client; empty for `--pin`. */
  readonly by: string;
  readonly reason: string;
  /** The lcut that feeds are pinned to; undefined if each is pinned to what was served. */
  readonly to: number | undefined;
  /** The pinned version of each feed, by {@link toForm}. */
  readonly feeds: Readonly<Record<string, PinnedVersion>>;
}

interface PinsOptions {
  readonly records: Pick<PinRecords, "find">;
  readonly kept: Pick<KeptVersions, "heldBack">;
  /** Returns the lcut that `--pin` names for each key. */
  readonly configured: () => ReadonlyMap<SdkKey, number>;
  /** Called with a newer version that a backup has and that is not the pinned one: another relay has stored it. */
  readonly onOverwritten: (snapshot: Snapshot) => void;
}

/** Decides which versions of pinned keys may be served. */
export class Pins {
  readonly #options: PinsOptions;

  constructor(options: PinsOptions) {
    this.#options = options;
  }

  /** Returns the pin of a key. One by `--pin` takes precedence. */
  find(sdkKey: SdkKey): ActivePin | undefined {
    const { records, configured } = this.#options;
    const entry = records.find(sdkKey);
    const { feeds = {}, pin = null } = entry ?? {};
    const to = configured().get(sdkKey);
    if (to !== undefined) return { source: "config", since: undefined, by: "", reason: "", to, feeds };
    return pin === null ? undefined : { source: "operator", ...pin, to: pin.to, feeds };
  }

  /** Returns whether a version may replace the held one. */
  admits(snapshot: Snapshot, held: Snapshot): boolean {
    const pin = this.find(snapshot.feed.sdkKey);
    if (pin === undefined || isPinned(pin, snapshot)) return true;
    const { lcut } = upstreamId(held);
    if (pin.source === "config" && pin.to !== undefined) {
      // Up to the version that the option names, and beyond it if that is not to be had.
      if (upstreamId(snapshot).lcut <= pin.to || lcut > pin.to) return true;
    }
    if (snapshot.source !== "upstream" && snapshot.lcut > held.lcut) this.#options.onOverwritten(snapshot);
    return false;
  }

  /** Returns what upstream calls a version that a relay has published under this lcut, or undefined if it is upstream's own. */
  originalOf(feed: Feed, { lcut, checksum }: VersionId): VersionId | undefined {
    const version = this.#options.records.find(feed.sdkKey)?.feeds[toForm(feed)];
    if (version?.servedLcut !== lcut || version.lcut === lcut || isOther(version, checksum)) return undefined;
    return { lcut: version.lcut, checksum: version.checksum };
  }

  /**
   * Returns what upstream calls a held version. That it was published again may be known only since it is held: another relay had
   * done so, and recorded it later. With several orders at once, the record may have the lcut of the last one for the same content.
   */
  upstreamIdOf(held: Snapshot): VersionId {
    const original = this.originalOf(held.feed, held);
    if (original !== undefined || held.original !== undefined) return original ?? upstreamId(held);
    const recorded = this.#options.records.find(held.feed.sdkKey)?.feeds[toForm(held.feed)];
    const isRecorded =
      held.source !== "upstream" && held.checksum !== "" && recorded?.checksum === held.checksum;
    return isRecorded ? { lcut: recorded.lcut, checksum: recorded.checksum } : upstreamId(held);
  }

  /** As {@link VersionGate.newest}. */
  newest(held: Snapshot): NewestVersion {
    const { feed } = held;
    const isPinnedKey = this.find(feed.sdkKey) !== undefined;
    const heldBack = isPinnedKey ? this.#options.kept.heldBack(feed) : [];
    const newest = heldBack.findLast((version) => !isFromFile(version));
    if (newest === undefined && isFromFile(held)) return held;
    const { lcut, checksum } = newest ?? this.upstreamIdOf(held);
    return { lcut, checksum };
  }
}

/** Returns whether this is the version that the pin names for its feed. */
export function isPinned(pin: ActivePin, snapshot: Snapshot): boolean {
  const version = pin.feeds[toForm(snapshot.feed)];
  const id = upstreamId(snapshot);
  if (pin.source === "config" && id.lcut === pin.to) return true;
  if (version === undefined || (pin.source === "config" && version.lcut !== pin.to)) return false;
  if (isOther(version, snapshot.checksum)) return false;
  // Under another lcut only as another relay has published it. What upstream sends under one is another version.
  const isRepublished = snapshot.source !== "upstream" && version.checksum !== "";
  return snapshot.lcut === version.servedLcut || isRepublished;
}

/** Whether the checksums show that the contents differ. */
const isOther = (version: VersionId, checksum: string) =>
  version.checksum !== "" && checksum !== "" && version.checksum !== checksum;
