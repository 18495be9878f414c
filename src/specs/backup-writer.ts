import type { Clock } from "../clock.ts";
import type { EmitSpecEvent } from "./events.ts";
import { type Feed, feedId } from "./feed.ts";
import type { Lease } from "./lease.ts";
import type { SpecRecovery } from "./recovery.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SpecBackup } from "./spec-backup.ts";
import type { SpecStore } from "./spec-store.ts";

export interface BackupWriterOptions {
  readonly backup: SpecBackup;
  readonly recovery: SpecRecovery;
  readonly store: SpecStore;
  readonly lease: Lease;
  /** Write also without the lease what came from upstream: in a fleet, whoever asked upstream tells the others. */
  readonly writesWithoutLease: boolean;
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  /** The version is in the backup now. `isNew`: it was not before. */
  readonly onWritten: (snapshot: Snapshot, isNew: boolean) => void;
}

/** Feeds that are written at the same time; more would only wait in the backup's own line. */
const PARALLEL_WRITES = 8;

/** After a failure, until the next attempt. */
const RETRY_MS = 1_000;

/** How long shutdown waits for what is not written yet. */
const FLUSH_MS = 3_000;

type Job = { readonly feed: Feed; readonly kind: "write" | "remove" };

/**
 * Brings each new version into the backup, off every request's path. Of a feed only the newest job waits, so
 * a backup that is gone for long costs no memory, and gets the newest version when it is back.
 */
export class BackupWriter implements AsyncDisposable {
  readonly #options: BackupWriterOptions;
  readonly #jobs = new Map<string, Job>();
  readonly #writtenLcuts = new Map<string, number>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: BackupWriterOptions) {
    this.#options = options;
    options.store.listen({
      published: ({ feed, snapshot }) => {
        if (snapshot.source !== options.backup.source) this.#add({ feed, kind: "write" });
      },
      removed: ({ feed }) => this.#writtenLcuts.delete(feedId(feed)),
    });
    options.lease.onAcquired(() => this.writeAll());
  }

  /** After a leader that died, nobody knows what it still wrote. */
  writeAll(): void {
    for (const { feed } of this.#options.store.held()) this.#add({ feed, kind: "write" });
  }

  write(feed: Feed): void {
    this.#add({ feed, kind: "write" });
  }

  remove(feed: Feed): void {
    this.#add({ feed, kind: "remove" });
  }

  /** Whether the backup has what is held of a feed, as far as we wrote it. */
  hasWritten(snapshot: Snapshot): boolean {
    return this.#writtenLcuts.get(feedId(snapshot.feed)) === snapshot.lcut;
  }

  #add(job: Job): void {
    this.#jobs.set(feedId(job.feed), job);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    // What else happens in this turn is in the map before the first job is taken.
    await Promise.resolve();
    const { clock } = this.#options;
    while (this.#jobs.size > 0) {
      const batch = [...this.#jobs].slice(0, PARALLEL_WRITES);
      for (const [id] of batch) this.#jobs.delete(id);
      const done = await Promise.all(batch.map(([, job]) => this.#do(job)));
      if (done.every(Boolean)) continue;
      for (const [at, [id, job]] of batch.entries())
        if (!done[at] && !this.#jobs.has(id)) this.#jobs.set(id, job);
      if (this.#stopping.signal.aborted) return;
      await clock.sleep(RETRY_MS, this.#stopping.signal).catch(() => {});
    }
  }

  /** False where it must be done again. */
  async #do({ feed, kind }: Job): Promise<boolean> {
    const { backup, emit } = this.#options;
    try {
      if (kind === "remove") await backup.remove(feed);
      else await this.#write(feed);
      return true;
    } catch (error) {
      emit({ kind: "backup_failed", feed, action: kind, detail: String(error) });
      return false;
    }
  }

  async #write(feed: Feed): Promise<void> {
    const { backup, store, lease, recovery, writesWithoutLease, onWritten } = this.#options;
    const snapshot = store.peek(feed)?.snapshot;
    if (snapshot === undefined) return;
    if (!lease.isHeld && !(writesWithoutLease && snapshot.source === "upstream")) return;
    const first = await backup.write(snapshot);
    let isNew = first.kind === "written";
    if (first.kind === "not_newer" && first.lcut > snapshot.lcut) {
      // Newer than what upstream gave us: another relay's, or nonsense that would stay there for ever.
      if ((await recovery.recover(feed)) !== "unusable") return;
      isNew = (await backup.write(snapshot, first.lcut)).kind === "written";
      if (!isNew) return;
    }
    this.#writtenLcuts.set(feedId(feed), snapshot.lcut);
    onWritten(snapshot, isNew);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const patience = new AbortController();
    const enough = this.#options.clock.sleep(FLUSH_MS, patience.signal).catch(() => {});
    this.#stopping.abort(new Error("the relay is shutting down"));
    await Promise.race([this.#running, enough]);
    patience.abort();
  }
}
