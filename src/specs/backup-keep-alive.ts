import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { EmitBackupEvent, SpecBackup } from "./backup.ts";
import type { BackupWriter } from "./backup-writer.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

interface BackupKeepAliveOptions {
  readonly backup: SpecBackup;
  readonly writer: BackupWriter;
  readonly store: SpecStore;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitBackupEvent;
  /** Interval between two rounds, ms. Well below the TTL of the backup's entries. */
  readonly everyMs: number;
}

const PARALLEL_TOUCHES = 8;

/** Refreshes the TTL of the held feeds in the backup, and writes again what the backup has lost. */
export class BackupKeepAlive implements AsyncDisposable {
  readonly #options: BackupKeepAliveOptions;
  readonly #stopping = new AbortController();
  #wake = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: BackupKeepAliveOptions) {
    this.#options = options;
    this.#running = options.supervisor.loop("backup_upkeep", this.#stopping.signal, () => this.#round());
  }

  /** Starts a round now, because the backup may have lost data, such as after a restart. A round in progress starts over. */
  checkNow(): void {
    this.#wake.abort();
  }

  async #round(): Promise<void> {
    const { clock, everyMs, store, writer } = this.#options;
    const { signal } = this.#stopping;
    await clock.sleep(everyMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    this.#wake = new AbortController();
    const stop = AbortSignal.any([signal, this.#wake.signal]);
    const feeds = [...store.held()].map(({ feed }) => feed);
    const touchInTurn = async () => {
      for (let feed = feeds.pop(); feed !== undefined && !stop.aborted; feed = feeds.pop()) {
        const held = store.peek(feed);
        if (held === undefined || held.snapshot.source === "bootstrap") continue;
        if (held.isRevoked) {
          // Left to expire. If upstream confirms it again, the backup may have lost it in the meantime.
          writer.forget(feed);
          continue;
        }
        if (!(await this.#touch(held))) feeds.length = 0;
      }
    };
    await Promise.all(Array.from({ length: PARALLEL_TOUCHES }, touchInTurn));
  }

  /** Returns false if the backup failed, which it would do for the other feeds as well. */
  async #touch(held: HeldFeed): Promise<boolean> {
    const { feed, snapshot } = held;
    const { backup, writer, emit } = this.#options;
    try {
      if (await backup.touch(snapshot)) return true;
      if (await backup.wasRemoved(feed)) {
        held.revoke(this.#options.clock);
        emit({ kind: "backup_removed_elsewhere", feed });
      }
      writer.restore(feed);
      return true;
    } catch (error) {
      emit({
        kind: "backup_failed",
        source: backup.source,
        feed,
        action: "touch",
        detail: (error as Error).message,
      });
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }
}
