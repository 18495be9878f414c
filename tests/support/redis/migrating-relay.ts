import { systemClock } from "../../../src/platform/clock.ts";
import type { RedisBackupOptions } from "../../../src/redis/backup.ts";
import { SpecAcquirer } from "../../../src/specs/acquire.ts";
import { BackupWriter } from "../../../src/specs/backup-writer.ts";
import type { Feed } from "../../../src/specs/feed.ts";
import { prepare } from "../../../src/specs/payload/prepare.ts";
import type { SpecPreparer } from "../../../src/specs/payload/preparer.ts";
import { SpecRecovery } from "../../../src/specs/recovery.ts";
import { SpecRefresher } from "../../../src/specs/refresh.ts";
import type { SpecSource } from "../../../src/specs/source.ts";
import { SpecStore } from "../../../src/specs/store.ts";
import { strictSupervisor } from "../common/supervisors.ts";
import { eventually } from "../common/wait.ts";
import type { RedisServer } from "./redis-server.ts";
import { RedisUse } from "./redis-uses.ts";

const MAX_BYTES = 64 * 1024 * 1024;

/** As the relay's, but in this thread. */
const preparer: SpecPreparer = {
  prepare: (raw) => prepare({ raw, maxBytes: MAX_BYTES }),
  async [Symbol.asyncDispose]() {},
};

/** What a relay does with upstream and Redis, polled by the test. */
export class MigratingRelay implements AsyncDisposable {
  readonly use: RedisUse;
  readonly store = new SpecStore({ maxKeys: 100 });
  readonly #acquirer: SpecAcquirer;
  readonly #writer: BackupWriter;
  readonly #stopping = new AbortController();

  constructor(server: RedisServer, source: SpecSource, options: Partial<RedisBackupOptions> = {}) {
    this.use = new RedisUse(server.options);
    const backup = this.use.backup({ schemas: ["v4", "v3"], ...options });
    const { store } = this;
    const emit = () => {};
    const recovery = new SpecRecovery({
      backup,
      preparer,
      store,
      clock: systemClock,
      emit,
      emitBackup: emit,
    });
    this.#writer = new BackupWriter({
      ...{ backup, recovery, store, emit, clock: systemClock },
      supervisor: strictSupervisor(),
    });
    const refresher = new SpecRefresher({
      ...{ source, preparer, store, clock: systemClock, emit, backup: this.#writer },
      policy: { clearOnUnauthorized: false },
      maxInFlight: 8,
      intervalMs: () => 10_000,
      maxKeys: 100,
      signal: this.#stopping.signal,
    });
    this.#acquirer = new SpecAcquirer({
      ...{ refresher, store, recovery, writer: this.#writer, clock: systemClock, emit },
    });
  }

  /** Polls as the poller does, and resolves when the backup has what was found. */
  async poll(feed: Feed): Promise<void> {
    await this.#acquirer.acquire(feed, "poll");
    await eventually(() => {
      if (this.#writer.lag.feeds > 0) throw new Error("the backup lags behind");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#writer[Symbol.asyncDispose]();
    await this.use[Symbol.asyncDispose]();
  }
}
