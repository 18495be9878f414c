import { expect } from "bun:test";
import type { RedisOptions } from "../../../src/redis/options.ts";
import type { BackupWrite } from "../../../src/specs/backup.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { eventually, within } from "../common/wait.ts";
import { feedOf, snapshotOf } from "../specs/snapshots.ts";
import { RedisUse } from "./redis-uses.ts";

/** A short time limit, for a Redis that does not respond. */
export const SHORT_LIMIT = { commandTimeoutMs: 1_000 } as const;
/** Allowance for a busy machine. */
const SLACK_MS = 2_000;

export const writtenFeed = feedOf("secret-of-the-customer");

/** Writes ever newer versions of one feed, and checks that each attempt ends within the time limit. */
export class RedisWriter extends RedisUse {
  readonly kept = this.backup();
  readonly #limitMs: number;
  #lcut = 0;

  constructor(options: RedisOptions) {
    super(options);
    this.#limitMs = options.commandTimeoutMs;
  }

  /** Writes a newer version. Resolves with the result or the failure's message. */
  async write(given?: Snapshot): Promise<BackupWrite | string> {
    this.#lcut += 1;
    const snapshot = given ?? snapshotOf(writtenFeed, this.#lcut);
    const outcome = this.kept.write(snapshot).catch((error: Error) => error.message);
    // A script that Redis does not know is sent twice. A timer, which is late as well if the machine stands still for a while.
    return within(outcome, 2 * this.#limitMs + SLACK_MS, "the end of a write");
  }

  /** The newest version that it tried to write. */
  get lcut(): number {
    return this.#lcut;
  }

  async writesAgain(withinMs = 15_000): Promise<void> {
    await eventually(async () => expect(await this.write()).toEqual({ kind: "written" }), { withinMs });
  }
}
