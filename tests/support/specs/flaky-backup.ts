import type { Overwritable, SpecBackup } from "../../../src/specs/backup.ts";
import { type Feed, feedId } from "../../../src/specs/feed.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import type { FakeClock } from "../common/fake-clock.ts";
import { MemoryBackup } from "./memory-backup.ts";

/** A memory backup that fails on demand, and records every lcut that it stored. */
export class FlakyBackup implements SpecBackup {
  readonly source = "redis";
  readonly entries = new Map<string, Snapshot>();
  readonly writtenLcuts = new Map<string, number[]>();
  readonly #inner = new MemoryBackup(this.entries);
  works = true;
  acceptsWrites = true;
  touchTakesMs = 0;
  readonly #clock: FakeClock | undefined;

  constructor(clock?: FakeClock) {
    this.#clock = clock;
  }

  async read(feed: Feed, newerThan: number) {
    this.#check();
    return this.#inner.read(feed, newerThan);
  }

  async readHistory(feed: Feed) {
    this.#check();
    return this.#inner.readHistory(feed);
  }

  async write(snapshot: Snapshot, instead?: Overwritable) {
    this.#check();
    if (!this.acceptsWrites) throw new Error("no writes");
    const outcome = await this.#inner.write(snapshot, instead);
    if (outcome.kind === "written") {
      const id = feedId(snapshot.feed);
      this.writtenLcuts.set(id, [...(this.writtenLcuts.get(id) ?? []), snapshot.lcut]);
    }
    return outcome;
  }

  async wasRemoved() {
    return false;
  }

  async touch(snapshot: Snapshot) {
    this.#check();
    const isThere = await this.#inner.touch(snapshot);
    if (this.touchTakesMs > 0) await this.#clock?.sleep(this.touchTakesMs, new AbortController().signal);
    return isThere;
  }

  async remove(feed: Feed) {
    this.#check();
    await this.#inner.remove(feed);
    this.writtenLcuts.delete(feedId(feed));
  }

  #check(): void {
    if (!this.works) throw new Error("the backup is gone");
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
