import type { Feed } from "../../src/specs/feed.ts";
import { feedId } from "../../src/specs/feed.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import type { SpecBackup } from "../../src/specs/spec-backup.ts";
import { MemoryBackup } from "./memory-backup.ts";

/** A memory backup that fails when told to, and remembers every lcut that it ever kept. */
export class FlakyBackup implements SpecBackup {
  readonly source = "redis";
  readonly shelf = new Map<string, Snapshot>();
  readonly history = new Map<string, number[]>();
  readonly #kept = new MemoryBackup(this.shelf);
  works = true;

  async read(feed: Feed, newerThan: number) {
    this.#check();
    return this.#kept.read(feed, newerThan);
  }

  async write(snapshot: Snapshot, instead?: number) {
    this.#check();
    const outcome = await this.#kept.write(snapshot, instead);
    if (outcome.kind === "written") {
      const id = feedId(snapshot.feed);
      this.history.set(id, [...(this.history.get(id) ?? []), snapshot.lcut]);
    }
    return outcome;
  }

  async wasRemoved() {
    return false;
  }

  async touch(snapshot: Snapshot) {
    this.#check();
    return this.#kept.touch(snapshot);
  }

  async remove(feed: Feed) {
    this.#check();
    await this.#kept.remove(feed);
    this.history.delete(feedId(feed));
  }

  #check(): void {
    if (!this.works) throw new Error("the backup is gone");
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
