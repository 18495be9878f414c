import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { EmitBackupEvent, SpecBackup } from "./backup.ts";
import { type Feed, feedId } from "./feed.ts";
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
  /** The backup has this version, which is held. `isNew`: it did not have it before. */
  readonly onKept?: (snapshot: Snapshot, kept: { readonly isNew: boolean }) => void;
  /** It could not be written, and is tried again. */
  readonly onNotKept?: (snapshot: Snapshot) => void;
}

/** Feeds that are written at the same time; more would only wait in the backup's own line. */
const PARALLEL_WRITES = 8;

/** After a failure, until the next attempt. */
const RETRY_MS = 1_000;

/** How long serving a version waits for the backup to have it. */
const WRITE_AHEAD_MS = 250;

/** How long it waits for a newer version that the backup has. */
const READ_NEWER_MS = 3_000;

/** How long shutdown waits for what is not written yet. */
const FLUSH_MS = 3_000;

/** Removals of what this relay never held, which strangers can cause: a key that does not fit is removed the next time that it is refused. */
const MAX_REMOVALS_UNHELD = 100_000;

/**
 * Brings each new version into the backup, off every request's path. Any relay may: the backup keeps the newest. Of a feed
 * only the newest job waits, so a backup that is gone for long costs no memory, and gets the newest version when it is back.
 */
export class BackupWriter implements AsyncDisposable {
  readonly #options: BackupWriterOptions;
  readonly #jobs = new BackupJobs();
  readonly #writtenLcuts = new Map<string, number>();
  readonly #lags: BackupLags;
  /** Whether the version was new, as its write ahead told or will tell. */
  readonly #ahead = new WeakMap<Snapshot, Promise<boolean>>();
  readonly #stopping = new AbortController();
  #workers = 0;
  readonly #running = new Set<Promise<void>>();

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
  }

  /** Upstream says that what is held is the newest. */
  confirmed(feed: Feed): void {
    const snapshot = this.#options.store.peek(feed)?.snapshot;
    if (snapshot === undefined) return;
    if (this.#writtenLcuts.get(feedId(feed)) !== snapshot.lcut) this.#add({ feed, kind: "write" });
  }

  /** The backup does not have what is held of a feed, whatever was written there. */
  restore(feed: Feed): void {
    this.#writtenLcuts.delete(feedId(feed));
    this.#add({ feed, kind: "write" });
  }

  /** `wasHeld`: a version was held of it until now. */
  remove(feed: Feed, { wasHeld }: { readonly wasHeld: boolean }): void {
    if (wasHeld || this.#jobs.size < MAX_REMOVALS_UNHELD) this.#add({ feed, kind: "remove" });
  }

  /**
   * Writes a version that is about to be served, so that a relay that dies leaves no older one behind than its clients have.
   * Where the backup has a newer one, which upstream gave to another relay, that one is held afterwards. Never rejects, and
   * waits for no backup that is slow.
   */
  async writeAhead(snapshot: Snapshot): Promise<void> {
    const { backup, recovery, clock } = this.#options;
    // What is written before a removal is done would be gone after it.
    if (this.#jobs.isBusy(feedId(snapshot.feed))) return;
    const write = backup.write(snapshot).catch(() => undefined);
    this.#ahead.set(
      snapshot,
      write.then((outcome) => outcome?.kind === "written"),
    );
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
    else this.#lags.waits(id);
    if (this.#workers >= PARALLEL_WRITES) return;
    this.#workers++;
    const working = this.#options.supervisor
      .task("backup_writes", () => this.#work())
      .finally(() => this.#running.delete(working));
    this.#running.add(working);
  }

  async #work(): Promise<void> {
    // What else happens in this turn is in the map before the first job is taken.
    await Promise.resolve();
    try {
      for (let next = this.#jobs.take(); next !== undefined; next = this.#jobs.take()) {
        if (await this.#doAndCount(next)) continue;
        if (this.#stopping.signal.aborted) return;
        await this.#options.clock.sleep(RETRY_MS, this.#stopping.signal).catch(() => {});
      }
    } finally {
      // In the moment that it takes no more jobs: what is added after that begins a new worker.
      this.#workers--;
    }
  }

  /** False where it must be done again. */
  async #doAndCount([id, job]: WaitingJob): Promise<boolean> {
    let rest: Job | undefined = job;
    try {
      rest = await this.#do(job);
    } finally {
      if (rest === undefined) this.#jobs.done(id);
      else this.#jobs.putBack(id, rest);
    }
    const isDone = rest === undefined;
    if (isDone) this.#lags.caughtUp(id, { hasNewer: this.#jobs.has(id) });
    return isDone;
  }

  /** What of it must be done again. */
  async #do(job: Job): Promise<Job | undefined> {
    const { feed, kind, removesFirst } = job;
    const { backup, store, emit, onNotKept } = this.#options;
    let rest = job;
    try {
      if (kind === "remove" || removesFirst) await this.#remove(feed);
      // Another relay may write what is not to be removed with it.
      rest = { feed, kind };
      if (kind !== "remove") await this.#write(feed);
      return undefined;
    } catch (error) {
      const snapshot = store.peek(feed)?.snapshot;
      if (kind === "write" && snapshot !== undefined) onNotKept?.(snapshot);
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
    // What was written ahead is gone with the rest.
    if (held !== undefined) this.#ahead.delete(held.snapshot);
  }

  async #write(feed: Feed): Promise<void> {
    const held = this.#options.store.peek(feed);
    // Another relay may have removed it, since upstream refuses the key. Written once upstream confirms it.
    if (held === undefined || held.isRevoked) return;
    const { snapshot } = held;
    const isAhead = await this.#ahead.get(snapshot);
    this.#ahead.delete(snapshot);
    const written = isAhead === true ? "new" : await this.#writeNow(snapshot);
    if (written === "superseded" || this.#options.store.peek(feed) !== held) return;
    this.#writtenLcuts.set(feedId(feed), snapshot.lcut);
    this.#options.onKept?.(snapshot, { isNew: written === "new" });
  }

  async #writeNow(snapshot: Snapshot): Promise<"new" | "known" | "superseded"> {
    const { backup, recovery } = this.#options;
    const { feed, lcut } = snapshot;
    const first = await backup.write(snapshot);
    if (first.kind === "written") {
      recovery.replaced(feed);
      return "new";
    }
    if (first.lcut === lcut && !recovery.foundUnusable(feed)) return "known";
    // Newer than what upstream gave us: another relay's, or nonsense that would stay there for ever.
    if (first.lcut > lcut && (await recovery.recover(feed)) !== "unusable") return "superseded";
    const second = await backup.write(snapshot, first.lcut);
    if (second.kind === "written") recovery.replaced(feed);
    return second.kind === "written" ? "new" : "superseded";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await withTimeout(Promise.all(this.#running), FLUSH_MS, this.#options.clock);
  }
}

interface Job {
  readonly feed: Feed;
  readonly kind: "write" | "remove";
  /** A removal was still to be done when it came: what the backup has may be newer, and is not to be kept. */
  readonly removesFirst?: boolean;
}

type WaitingJob = readonly [id: string, job: Job];

const afterwards = (earlier: Job | undefined, job: Job): Job =>
  earlier?.kind === "remove" || earlier?.removesFirst ? { ...job, removesFirst: true } : job;

/** Of each feed the newest job that waits; none is given out while another of its feed is being done. */
class BackupJobs {
  readonly #waiting = new Map<string, Job>();
  readonly #underway = new Set<string>();

  get size(): number {
    return this.#waiting.size;
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Something of the feed waits or is being done. */
  isBusy(id: string): boolean {
    return this.#waiting.has(id) || this.#underway.has(id);
  }

  add(id: string, job: Job): void {
    this.#waiting.set(id, afterwards(this.#waiting.get(id), job));
  }

  /** The one that waits for longest, until {@link done} or {@link putBack}. */
  take(): WaitingJob | undefined {
    for (const [id, job] of this.#waiting) {
      if (this.#underway.has(id)) continue;
      this.#waiting.delete(id);
      this.#underway.add(id);
      return [id, job];
    }
    return undefined;
  }

  done(id: string): void {
    this.#underway.delete(id);
  }

  /** It could not be done. */
  putBack(id: string, job: Job): void {
    this.#underway.delete(id);
    const newer = this.#waiting.get(id);
    this.#waiting.set(id, newer === undefined ? job : afterwards(job, newer));
  }
}

/** What is held and on its way into the backup. */
export interface BackupLag {
  readonly feeds: number;
  /** When the one that waits for longest began to, ms since the Unix epoch; undefined where none does. */
  readonly since: number | undefined;
}

/** Since when the backup is not known to have what is held of a feed; a newer version does not begin anew. */
class BackupLags {
  readonly #clock: Clock;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  waits(id: string): void {
    this.#since.set(id, this.#since.get(id) ?? this.#clock.now());
  }

  /** What came after what is there now waits since now, at most. */
  caughtUp(id: string, { hasNewer }: { readonly hasNewer: boolean }): void {
    this.#since.delete(id);
    if (hasNewer) this.waits(id);
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
