import { expect } from "bun:test";
import type { RedisOptions } from "../../../src/redis/options.ts";
import type { BackupWrite } from "../../../src/specs/backup.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { eventually } from "../common/wait.ts";
import { feedOf, snapshotOf } from "../specs/snapshots.ts";
import { RedisUse } from "./redis-uses.ts";

export const COMMAND_LIMIT_MS = 600;
/** What the machine may be late by. */
export const SLACK_MS = 400;

export const writtenFeed = feedOf("secret-of-the-customer");

/** Writes newer and newer versions of one feed, each attempt within the limit. */
export class RedisWriter extends RedisUse {
  readonly kept = this.backup();
  #lcut = 0;

  constructor(options: RedisOptions) {
    super({ ...options, commandTimeoutMs: COMMAND_LIMIT_MS });
  }

  /** Writes a newer version; whatever comes of it comes in time. */
  async write(given?: Snapshot): Promise<BackupWrite | string> {
    this.#lcut += 1;
    const snapshot = given ?? snapshotOf(writtenFeed, this.#lcut);
    const startedAt = performance.now();
    const outcome = await this.kept.write(snapshot).catch((error: Error) => error.message);
    // A script that Redis does not know is sent twice.
    expect(performance.now() - startedAt).toBeLessThan(2 * COMMAND_LIMIT_MS + SLACK_MS);
    return outcome;
  }

  /** The newest that it tried to write. */
  get lcut(): number {
    return this.#lcut;
  }

  async writesAgain(withinMs = 10_000): Promise<void> {
    await eventually(async () => expect(await this.write()).toEqual({ kind: "written" }), { withinMs });
  }

  get outages(): string[] {
    return this.kinds("redis_down", "redis_up");
  }
}
