import { expect } from "bun:test";
import type { RedisOptions } from "../../../src/redis/options.ts";
import type { BackupWrite } from "../../../src/specs/backup.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { eventually, within } from "../common/wait.ts";
import { feedOf, snapshotOf } from "../specs/snapshots.ts";
import { RedisUse } from "./redis-uses.ts";

export const COMMAND_LIMIT_MS = 600;
/** Allowance for a busy machine. */
export const SLACK_MS = 400;

export const writtenFeed = feedOf("secret-of-the-customer");

/** Writes ever newer versions of one feed, and checks that each attempt ends within the time limit. */
export class RedisWriter extends RedisUse {
  readonly kept = this.backup();
  #lcut = 0;

  constructor(options: RedisOptions) {
    super({ ...options, commandTimeoutMs: COMMAND_LIMIT_MS });
  }

  /** Writes a newer version. Resolves with the result or the failure's message. */
  async write(given?: Snapshot): Promise<BackupWrite | string> {
    this.#lcut += 1;
    const snapshot = given ?? snapshotOf(writtenFeed, this.#lcut);
    const outcome = this.kept.write(snapshot).catch((error: Error) => error.message);
    // A script that Redis does not know is sent twice. A timer, which is late as well if the machine stands still for a while.
    return within(outcome, 2 * COMMAND_LIMIT_MS + SLACK_MS, "the end of a write");
  }

  /** The newest version that it tried to write. */
  get lcut(): number {
    return this.#lcut;
  }

  async writesAgain(withinMs = 10_000): Promise<void> {
    await eventually(async () => expect(await this.write()).toEqual({ kind: "written" }), { withinMs });
  }
}
