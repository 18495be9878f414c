import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { BackupWrite, EmitBackupEvent, SpecBackup } from "./backup.ts";
import { type Feed, feedId } from "./feed.ts";
import type { Fleet, Written } from "./fleet.ts";
import type { SpecRecovery } from "./recovery.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SpecStore } from "./store.ts";

interface BackupWriterOptions {
  readonly backup: SpecBackup;
  readonly recovery: SpecRecovery;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitBackupEvent;
  /** Notified of each held version that the backup has, and of each attempt to write one that failed. */
  readonly fleet?: Pick<Fleet, "written" | "writeFailed"> | undefined;
  /** Returns whether the backup may store a version from upstream, which need not be the one that its key is pinned to. */
  readonly mayStore?: ((snapshot: Snapshot) => Promise<boolean>) | undefined;
}

/** Limit of feeds that are written concurrently. More would only wait in the queue of the backup. */
const PARALLEL_WRITES = 8;

/** Delay before the next job after a failure. */
const RETRY_MS = 1_000;

/** How long publishing a version waits for the backup to store it. */
const WRITE_AHEAD_MS = 250;

/** How long publishing a version waits for a newer version that the backup turned out to have. */
const READ_NEWER_MS = 3_000;

/** How long shutdown waits for pending writes. */
const FLUSH_MS = 3_000;

/**
 * Limit of pending removals of feeds that this relay never held, which clients that make up keys can cause. A removal that is
 * skipped happens when upstream rejects the key the next time.
 */
const MAX_REMOVALS_UNHELD = 100_000;

/**
 * Writes each new version to the backup, in the background. Every relay that shares a backup may write: the backup keeps the
 * newest version. Only the newest job of a feed is pending, so a backup that is down for long costs no memory, and gets the
 * newest version when it is back.
 */
export class BackupWriter implements AsyncDisposable {
  readonly #options: BackupWriterOptions;
  readonly #jobs = new BackupJobs();
  /** Held versions that the backup has. */
  readonly #written = new WeakSet<Snapshot>();
  /** What upstream has just sent, until the backup has stored it or turned out to have it. */
  readonly #justSent = new WeakSet<Snapshot>();
  readonly #lags: BackupLags;
  /** For each version that was written ahead: the result, or undefined if the backup failed. */
  readonly #ahead = new WeakMap<Snapshot, Promise<BackupWrite | undefined>>();
  readonly #stopping = new AbortController();
  #workers = 0;
  readonly #running = new Set<Promise<void>>();

  constructor(options: BackupWriterOptions) {
    this.#options = options;
    this.#lags = new BackupLags(options.clock);
    options.store.listen({
      published: ({ feed, snapshot }) => {
        // It is not known whether upstream ever had what a file has.
        if (snapshot.source === "bootstrap") return;
        const isFromBackup = snapshot.source === options.backup.source;
        if (!isFromBackup || options.backup.hasCopies) this.#add({ feed, kind: "write" });
      },
      removed: ({ feed }) => {
        this.#lags.forget(feedId(feed));
      },
    });
  }

  /** Upstream confirmed that the held version is the newest. Writes it unless the backup is known to have it. */
  confirmed(feed: Feed): void {
    const snapshot = this.#options.store.peek(feed)?.snapshot;
    if (snapshot === undefined) return;
    if (!this.#written.has(snapshot)) this.#add({ feed, kind: "write" });
  }

  /** Writes the held version again: the backup lost it. */
  restore(feed: Feed): void {
    this.forget(feed);
    this.#add({ feed, kind: "write" });
  }

  /** The backup is no longer known to have the held version: the next confirmation writes it. */
  forget(feed: Feed): void {
    const held = this.#options.store.peek(feed);
    if (held !== undefined) this.#written.delete(held.snapshot);
  }

  /** Removes the feed from the backup. `wasHeld`: a version of it was held until now. */
  remove(feed: Feed, { wasHeld }: { readonly wasHeld: boolean }): void {
    if (wasHeld || this.#jobs.size < MAX_REMOVALS_UNHELD) this.#add({ feed, kind: "remove" });
  }

  /**
   * Writes a version that upstream has just sent and that is about to be served, so that after a crash the backup is not older than
   * what clients already have. Replaces another content with its lcut, which is the earlier one. If the backup has a newer version,
   * which upstream sent to another relay, that one is held when the promise resolves. Never rejects, and does not wait for a slow backup.
   */
  async writeAhead(snapshot: Snapshot): Promise<void> {
    const { recovery, clock } = this.#options;
    this.#justSent.add(snapshot);
    // A pending removal would delete the version again.
    if (this.#jobs.isBusy(feedId(snapshot.feed))) return;
    const write = this.#store(snapshot).catch(() => undefined);
    this.#ahead.set(snapshot, write);
    const outcome = await withTimeout(write, WRITE_AHEAD_MS, clock);
    if (outcome?.kind !== "not_newer" || outcome.lcut <= snapshot.lcut) return;
    await withTimeout(recovery.recover(snapshot.feed), READ_NEWER_MS, clock);
  }

  get lag(): BackupLag {
    return this.#lags.read();
  }

  #add(job: Job): void {
    const id = feedId(job.feed);
    this.#jobs.add(id, job);
    if (job.kind === "remove") this.#lags.forget(id);
    else this.#lags.start(id);
    if (this.#workers >= PARALLEL_WRITES) return;
    this.#workers++;
    const working = this.#options.supervisor
      .task("backup_writes", () => this.#work())
      .finally(() => this.#running.delete(working));
    this.#running.add(working);
  }

  async #work(): Promise<void> {
    // Lets all jobs of this event-loop turn be added before the first one is claimed.
    await Promise.resolve();
    try {
      for (let next = this.#jobs.claim(); next !== undefined; next = this.#jobs.claim()) {
        if (await this.#runClaimed(next)) continue;
        if (this.#stopping.signal.aborted) return;
        await this.#options.clock.sleep(RETRY_MS, this.#stopping.signal).catch(() => {});
      }
    } finally {
      // No `await` since the last claim: a job that is added from now on starts a new worker.
      this.#workers--;
    }
  }

  /** Returns false if the job failed and is pending again. */
  async #runClaimed([id, job]: ClaimedJob): Promise<boolean> {
    let rest: Job | undefined = job;
    try {
      rest = await this.#run(job);
    } finally {
      if (rest === undefined) this.#jobs.ack(id);
      else this.#jobs.nack(id, rest);
    }
    const isDone = rest === undefined;
    if (isDone) this.#lags.end(id, { hasNewer: this.#jobs.has(id) });
    return isDone;
  }

  /** Returns what is left to do, or undefined if the job is done. */
  async #run(job: Job): Promise<Job | undefined> {
    const { feed, kind, removesFirst } = job;
    const { backup, store, emit, fleet } = this.#options;
    let rest = job;
    try {
      if (kind === "remove" || removesFirst) await this.#remove(feed);
      // If the write fails, the retry must not remove what another relay writes meanwhile.
      rest = { feed, kind };
      if (kind !== "remove") await this.#write(feed);
      return undefined;
    } catch (error) {
      const snapshot = store.peek(feed)?.snapshot;
      if (kind === "write" && snapshot !== undefined) fleet?.writeFailed(snapshot);
      emit({
        kind: "backup_failed",
        source: backup.source,
        feed,
        action: kind === "remove" ? "remove" : "write",
        detail: (error as Error).message,
      });
      return rest;
    }
  }

  async #remove(feed: Feed): Promise<void> {
    await this.#options.backup.remove(feed);
    const held = this.#options.store.peek(feed);
    if (held === undefined) return;
    // The removal deleted the version that was written ahead, too.
    this.#ahead.delete(held.snapshot);
    this.#written.delete(held.snapshot);
  }

  async #write(feed: Feed): Promise<void> {
    const held = this.#options.store.peek(feed);
    // Another relay may have removed a revoked feed on purpose. It is written once upstream confirms it again.
    if (held === undefined || held.isRevoked || held.snapshot.source === "bootstrap") return;
    const { snapshot } = held;
    // It was confirmed while its first write was in progress.
    if (this.#written.has(snapshot)) return;
    // A version that was read from one copy is written to the others, unless another relay removes all of them meanwhile.
    const { backup, recovery, mayStore } = this.#options;
    if (snapshot.source === backup.source && (await backup.wasRemoved(feed))) return;
    if (snapshot.source === "upstream" && !((await mayStore?.(snapshot)) ?? true)) return;
    const ahead = await this.#ahead.get(snapshot);
    this.#ahead.delete(snapshot);
    const isWritten = ahead?.kind === "written" && !recovery.foundUnusable(feed);
    const result = isWritten ? toWritten(ahead) : await this.#writeNow(snapshot);
    if (result === "superseded" || this.#options.store.peek(feed) !== held) return;
    this.#written.add(snapshot);
    this.#options.fleet?.written(snapshot, result);
  }

  /** Replaces another content once only: what upstream sends to another relay after that is later. */
  async #store(snapshot: Snapshot): Promise<BackupWrite> {
    const isLatest = snapshot.checksum !== "" && this.#justSent.has(snapshot);
    const outcome = await this.#options.backup.write(snapshot, isLatest ? "other_content" : undefined);
    this.#justSent.delete(snapshot);
    return outcome;
  }

  async #writeNow(snapshot: Snapshot): Promise<Written | "superseded"> {
    const { backup, recovery } = this.#options;
    const { feed, lcut } = snapshot;
    const first = await this.#store(snapshot);
    const isUnusable = recovery.foundUnusable(feed);
    if (first.kind === "written" && !(isUnusable && backup.hasCopies)) {
      recovery.replaced(feed);
      return toWritten(first);
    }
    const keptLcut = first.kind === "written" ? lcut : first.lcut;
    if (keptLcut === lcut && !isUnusable) return { isNew: false, replacedContent: false };
    // The backup has a newer version: either another relay's, or an unusable one, which would block every write from now on.
    if (keptLcut > lcut && (await recovery.recover(feed)) !== "unusable") return "superseded";
    const second = await backup.write(snapshot, keptLcut);
    if (second.kind === "written") recovery.replaced(feed);
    return second.kind === "written" ? toWritten(second) : "superseded";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await withTimeout(Promise.all(this.#running), FLUSH_MS, this.#options.clock);
  }
}

function toWritten({ replacedContent }: BackupWrite & { readonly kind: "written" }): Written {
  return { isNew: true, replacedContent: replacedContent === true };
}

interface Job {
  readonly feed: Feed;
  readonly kind: "write" | "remove";
  /** True if a removal was still pending when this job was added: what the backup has may be newer, and must not stay. */
  readonly removesFirst?: boolean;
}

type ClaimedJob = readonly [id: string, job: Job];

/** The pending job of each feed. A feed's job is not handed out while another one of the feed runs. */
class BackupJobs {
  readonly #pending = new Map<string, Job>();
  readonly #inFlight = new Set<string>();

  get size(): number {
    return this.#pending.size;
  }

  has(id: string): boolean {
    return this.#pending.has(id);
  }

  /** Whether a job of the feed is pending or in flight. */
  isBusy(id: string): boolean {
    return this.#pending.has(id) || this.#inFlight.has(id);
  }

  /** Replaces the pending job of the feed. */
  add(id: string, job: Job): void {
    this.#pending.set(id, afterEarlier(job, this.#pending.get(id)));
  }

  /** Returns the oldest pending job, which is in flight until {@link ack} or {@link nack}. */
  claim(): ClaimedJob | undefined {
    for (const [id, job] of this.#pending) {
      if (this.#inFlight.has(id)) continue;
      this.#pending.delete(id);
      this.#inFlight.add(id);
      return [id, job];
    }
    return undefined;
  }

  ack(id: string): void {
    this.#inFlight.delete(id);
  }

  /** The job failed: makes `rest` of it pending again, unless a newer job replaces it. */
  nack(id: string, rest: Job): void {
    this.#inFlight.delete(id);
    const newer = this.#pending.get(id);
    this.#pending.set(id, newer === undefined ? rest : afterEarlier(newer, rest));
  }
}

function afterEarlier(job: Job, earlier: Job | undefined): Job {
  return earlier?.kind === "remove" || earlier?.removesFirst ? { ...job, removesFirst: true } : job;
}

/** Held versions that the backup does not have yet. */
export interface BackupLag {
  readonly feeds: number;
  /** Since when the longest-waiting feed lags, ms since the Unix epoch; undefined if none does. */
  readonly since: number | undefined;
}

/** Records since when the backup is not known to have the held version of a feed. A newer version does not reset that. */
class BackupLags {
  readonly #clock: Clock;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(id: string): void {
    this.#since.set(id, this.#since.get(id) ?? this.#clock.now());
  }

  /** The backup has a version. `hasNewer`: a newer one is pending, whose lag starts now at the earliest. */
  end(id: string, { hasNewer }: { readonly hasNewer: boolean }): void {
    this.#since.delete(id);
    if (hasNewer) this.start(id);
  }

  forget(id: string): void {
    this.#since.delete(id);
  }

  read(): BackupLag {
    let since: number | undefined;
    for (const each of this.#since.values()) since = Math.min(since ?? each, each);
    return { feeds: this.#since.size, since };
  }
}
