import { djb2 } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import type { BackupWriter } from "../backup-writer.ts";
import type { KnownVersions } from "../deltas/compute.ts";
import type { VersionId } from "../deltas/delta.ts";
import type { EmitSpecEvent } from "../events.ts";
import type { Feed } from "../feed.ts";
import type { SpecPreparer } from "../payload/preparer.ts";
import type { Snapshot, SnapshotSource } from "../snapshot.ts";
import type { PublishOutcome, SpecStore } from "../store.ts";
import type { KeptBody } from "../versions/diff.ts";

interface RepublisherOptions {
  readonly preparer: Pick<SpecPreparer, "prepare">;
  /** As in the options of SpecRefresher. */
  readonly findKnown: (feed: Feed) => Promise<KnownVersions | undefined>;
  readonly store: SpecStore;
  readonly backup: Pick<BackupWriter, "writeAhead"> | undefined;
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
}

/** A version as upstream calls it, to be published for a feed. */
interface Republished extends VersionId, KeptBody {
  readonly source: SnapshotSource;
}

/**
 * Publishes versions that clients are to get again. SDKs and relays drop what is older than what they have, so that such a version
 * becomes the newest one: it gets another lcut, and is checked, encoded and backed up like any other.
 */
export class Republisher {
  readonly #options: RepublisherOptions;

  constructor(options: RepublisherOptions) {
    this.#options = options;
  }

  /** Returns the version under another lcut. Throws an Error, whose message is for people, if it cannot be prepared. */
  async prepare(feed: Feed, version: Republished, servedLcut: number): Promise<Snapshot> {
    const { preparer, findKnown, clock } = this.#options;
    const { lcut, checksum, body, contentEncoding, format, source } = version;
    const raw = {
      ...{ body: new Uint8Array(body), contentEncoding, format, headerLcut: lcut },
      sdkKeyHash: djb2(feed.sdkKey),
      ...(servedLcut !== lcut && { restampTo: servedLcut }),
    };
    const preparation = await preparer.prepare(raw, await findKnown(feed));
    if (preparation.kind !== "prepared") {
      const reason = preparation.kind === "refused" ? preparation.detail : "the version has no config specs";
      throw new Error(`version ${lcut} cannot be published again: ${reason}`);
    }
    const original = servedLcut === lcut ? undefined : { lcut, checksum };
    return { ...preparation.payload, feed, source, receivedAt: clock.now(), original };
  }

  /** Publishes what {@link prepare} returned, if the feed is still held. */
  async publish(snapshot: Snapshot): Promise<PublishOutcome> {
    const { store, backup, emit } = this.#options;
    const before = store.peek(snapshot.feed);
    await backup?.writeAhead(snapshot);
    const previousLcut = store.peek(snapshot.feed)?.snapshot.lcut;
    const outcome = store.publish(snapshot, { after: before });
    if (outcome === "published") emit({ kind: "spec_republished", snapshot, previousLcut });
    return outcome;
  }
}
