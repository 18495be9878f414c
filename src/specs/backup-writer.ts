import type { Clock } from "../clock.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import { BackupJobs, type Job } from "./backup-job.ts";
import { type BackupLag, BackupLags } from "./backup-lag.ts";
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
  readonly supervisor: Supervisor;
  readonly emit: EmitSpecEvent;
  /** The version is in the backup now. `isNew`: it was not before. */
  readonly onWritten: (snapshot: Snapshot, isNew: boolean) => void;
}

/** Feeds that are written at the same time; more would only wait in the backup's own line. */
const PARALLEL_WRITES = 8;

/** After a failure, until the next attempt. */
const RETRY_MS = 1_000;

/** How long serving a version waits for the backup to have it. */
const WRITE_AHEAD_MS = 250;

/** How long shutdown waits for what is not written yet. */
const FLUSH_MS = 3_000;

/** Feeds of which a job may wait; removals of keys that strangers made up are not worth more. */
const MAX_JOBS = 10_000;

/**
 * Brings each new version into the backup, off every request's path. Of a feed only the newest job waits, so
 * a backup that is gone for long costs no memory, and gets the newest version when it is back.
 */
export class BackupWriter implements AsyncDisposable {
  readonly #options: BackupWriterOptions;
  readonly #jobs = new BackupJobs();
  readonly #writtenLcuts = new Map<string, number>();
  readonly #lags: BackupLags;
  /** Whether the version was new, as its write ahead told or will tell. */
  readonly #ahead = new WeakMap<Snapshot, Promise<boolean>>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: BackupWriterOptions) {
    this.#options = options;
    this.#lags = new BackupLags(options.clock);
    options.store.listen({
      published: ({ feed, snapshot }) => {
        if (snapshot.source !== options.backup.source) this.#add({ feed, kind: "write" });
      },
      removed: ({ feed }) => {
        this.#writtenLcuts.delete(feedId(feed));
        this.#lags.forget(feedId(feed));
      },
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

  /** The backup has nothing of a feed that is held. */
  restore(feed: Feed): void {
    this.#add({ feed, kind: "restore" });
  }

  remove(feed: Feed): void {
    if (this.#jobs.size < MAX_JOBS) this.#add({ feed, kind: "remove" });
  }

  /**
   * Writes a version that is about to be served, so that a relay that dies leaves no older one behind than its
   * clients have. Never rejects, and waits for no backup that is slow.
   */
  async writeAhead(snapshot: Snapshot): Promise<void> {
    if (!this.#mayWrite(snapshot)) return;
    const { backup, clock } = this.#options;
    const done = new AbortController();
    const write = backup.write(snapshot).then(
      ({ kind }) => kind === "written",
      () => false,
    );
    this.#ahead.set(snapshot, write);
    const written = write.then(() => done.abort());
    await Promise.race([written, clock.sleep(WRITE_AHEAD_MS, done.signal).catch(() => {})]);
  }

  #mayWrite(snapshot: Snapshot): boolean {
    const { lease, writesWithoutLease } = this.#options;
    return lease.isHeld || (writesWithoutLease && snapshot.source === "upstream");
  }

  /** Whether the backup has what is held of a feed, as far as we wrote it. */
  hasWritten(snapshot: Snapshot): boolean {
    return this.#writtenLcuts.get(feedId(snapshot.feed)) === snapshot.lcut;
  }

  /** Undefined where this relay may not write: another one does. */
  get lag(): BackupLag | undefined {
    const { lease, writesWithoutLease } = this.#options;
    return lease.isHeld || writesWithoutLease ? this.#lags.read() : undefined;
  }

  #add(job: Job): void {
    const id = feedId(job.feed);
    this.#jobs.add(id, job);
    if (job.kind === "remove") this.#lags.forget(id);
    else this.#lags.waits(id);
    this.#running ??= this.#options.supervisor
      .task("backup_writes", () => this.#run())
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #run(): Promise<void> {
    // What else happens in this turn is in the map before the first job is taken.
    await Promise.resolve();
    const { clock } = this.#options;
    while (this.#jobs.size > 0) {
      const batch = this.#jobs.take(PARALLEL_WRITES);
      const done = await Promise.all(batch.map(([id, job]) => this.#doAndCount(id, job)));
      if (done.every(Boolean)) continue;
      for (const [at, [id, job]] of batch.entries()) if (!done[at]) this.#jobs.putBack(id, job);
      if (this.#stopping.signal.aborted) return;
      await clock.sleep(RETRY_MS, this.#stopping.signal).catch(() => {});
    }
  }

  async #doAndCount(id: string, job: Job): Promise<boolean> {
    const isDone = await this.#do(job);
    if (isDone) this.#lags.caughtUp(id, { hasNewer: this.#jobs.has(id) });
    return isDone;
  }

  /** False where it must be done again. */
  async #do({ feed, kind, removesFirst }: Job): Promise<boolean> {
    const { backup, emit } = this.#options;
    try {
      if (kind === "remove" || removesFirst) await this.#remove(feed);
      if (kind !== "remove") await this.#write(feed, kind === "restore");
      return true;
    } catch (error) {
      emit({
        kind: "backup_failed",
        source: backup.source,
        feed,
        action: kind === "remove" ? "remove" : "write",
        detail: (error as Error).message,
      });
      return false;
    }
  }

  async #remove(feed: Feed): Promise<void> {
    await this.#options.backup.remove(feed);
    const held = this.#options.store.peek(feed);
    // What was written ahead is gone with the rest.
    if (held !== undefined) this.#ahead.delete(held.snapshot);
  }

  async #write(feed: Feed, restores: boolean): Promise<void> {
    const snapshot = this.#options.store.peek(feed)?.snapshot;
    if (snapshot === undefined || !(restores || this.#mayWrite(snapshot))) return;
    const isAhead = await this.#ahead.get(snapshot);
    this.#ahead.delete(snapshot);
    const written = isAhead === true ? "new" : await this.#writeNow(snapshot);
    if (written === "superseded") return;
    this.#writtenLcuts.set(feedId(feed), snapshot.lcut);
    this.#options.onWritten(snapshot, written === "new");
  }

  async #writeNow(snapshot: Snapshot): Promise<"new" | "known" | "superseded"> {
    const { backup, recovery } = this.#options;
    const first = await backup.write(snapshot);
    if (first.kind === "written") return "new";
    if (first.lcut === snapshot.lcut) return "known";
    // Newer than what upstream gave us: another relay's, or nonsense that would stay there for ever.
    if ((await recovery.recover(snapshot.feed)) !== "unusable") return "superseded";
    const second = await backup.write(snapshot, first.lcut);
    return second.kind === "written" ? "new" : "superseded";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const patience = new AbortController();
    const enough = this.#options.clock.sleep(FLUSH_MS, patience.signal).catch(() => {});
    this.#stopping.abort(new Error("the relay is shutting down"));
    await Promise.race([this.#running, enough]);
    patience.abort();
  }
}
