import { djb2 } from "../../../src/access/sdk-key.ts";
import {
  type BackupRead,
  type BackupWrite,
  type Overwritable,
  type SpecBackup,
  storableHistory,
} from "../../../src/specs/backup.ts";
import { type Feed, feedId } from "../../../src/specs/feed.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";

/** The simplest implementation of the contract. Backups with the same map share their entries. */
export class MemoryBackup implements SpecBackup {
  readonly source = "local";
  readonly #entries: Map<string, Snapshot>;
  #closed = false;

  constructor(entries = new Map<string, Snapshot>()) {
    this.#entries = entries;
  }

  async read(feed: Feed, newerThan: number): Promise<BackupRead> {
    const kept = this.#open().get(feedId(feed));
    if (kept === undefined || kept.lcut <= newerThan) return { kind: "none" };
    const { bytes, format, lcut } = kept;
    const history = await this.readHistory(feed);
    const contentEncoding = format === "proto" ? "statsig-br" : "";
    return {
      kind: "found",
      raw: {
        body: new Uint8Array(bytes),
        contentEncoding,
        format,
        headerLcut: lcut,
        sdkKeyHash: djb2(feed.sdkKey),
      },
      ...(history && { history }),
    };
  }

  async readHistory(feed: Feed): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const kept = this.#open().get(feedId(feed));
    const history = kept && storableHistory(kept);
    return history && new Uint8Array(history);
  }

  async write(snapshot: Snapshot, instead?: Overwritable): Promise<BackupWrite> {
    const kept = this.#open().get(feedId(snapshot.feed));
    const replacedContent =
      instead === "other_content" && kept?.lcut === snapshot.lcut && kept.digest !== snapshot.digest;
    if (kept !== undefined && !replacedContent && kept.lcut !== instead && kept.lcut >= snapshot.lcut) {
      return { kind: "not_newer", lcut: kept.lcut };
    }
    this.#entries.set(feedId(snapshot.feed), snapshot);
    return { kind: "written", ...(replacedContent && { replacedContent }) };
  }

  async wasRemoved(): Promise<boolean> {
    return false;
  }

  async touch({ feed, lcut }: Snapshot): Promise<boolean> {
    return (this.#open().get(feedId(feed))?.lcut ?? -1) >= lcut;
  }

  async remove(feed: Feed): Promise<void> {
    this.#open().delete(feedId(feed));
  }

  #open(): Map<string, Snapshot> {
    if (this.#closed) throw new Error("the backup is closed");
    return this.#entries;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }
}
