import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { RedisBackup } from "../../src/redis/backup.ts";
import { describeWith } from "../support/common/needs.ts";
import { RedisMonitor } from "../support/redis/redis-monitor.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { limitedUser, ORIGINAL_COMMANDS } from "../support/redis/redis-users.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { readBack } from "../support/specs/backup-contract.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { specV2 } from "../support/upstream/payloads.ts";

/** Few versions, so that many writes collide. */
const lcuts = fc.integer({ min: 1, max: 12 });
/**
 * `writer` 0 is an original relay, which writes whatever it has; `after` is the time of the write, ms. No original relay writes a version
 * twice: a relay that may not run HMGET cannot see that two versions replaced each other twice between its reads.
 */
const writes = fc.uniqueArray(fc.record({ lcut: lcuts, writer: fc.nat(4), after: fc.nat(12) }), {
  selector: (write) => (write.writer === 0 ? write.lcut : write),
  minLength: 2,
  maxLength: 16,
});

/** A write of the entry, in the order in which Redis executed them. */
interface Written {
  readonly lcut: number;
  readonly isOurs: boolean;
}

const writtenIn = (lines: readonly string[]): readonly Written[] =>
  lines.flatMap((line) => {
    const [, lcut] = /"HSET" .*"lcut" "(\d+)"/.exec(line) ?? [];
    return lcut === undefined ? [] : { lcut: Number(lcut), isOurs: line.includes('"checksum"') };
  });

describeWith("redis-server", "redis-cli")("Writers of an entry in any order", () => {
  let server: RedisServer;
  let monitor: RedisMonitor;
  beforeAll(async () => {
    server = await RedisServer.start();
    monitor = await RedisMonitor.start(server);
  });
  afterAll(async () => {
    await monitor?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  describe.each([
    ["by scripts", "~* &* +@all"],
    ["with WATCH and MULTI", "~* &* +@all -eval -evalsha"],
    ["with the commands of the original relay", ORIGINAL_COMMANDS],
  ])("%s", (_, rules) => {
    test("never replace a version by an older one, unless the writer is an original relay; readers always see a complete version", async () => {
      const options = await limitedUser(server, rules);
      await using uses = new AsyncDisposableStack();
      const original = uses.use(new RedisUse(server.options));
      const backups = Array.from({ length: 4 }, () => uses.use(new RedisUse(options)).backup());

      await fc.assert(
        fc.asyncProperty(writes, async (writes) => {
          const feed = feedOf(`secret-${randomUUID()}`);
          const [{ name: key }] = UNPREFIXED.entries(feed, ["v3"]);
          const run = async ({ lcut, writer, after }: (typeof writes)[number]): Promise<void> => {
            await sleep(after);
            const backup = backups[writer - 1];
            if (backup !== undefined) {
              await backup.write(await preparedSnapshot(feed, lcut, { color: `${writer} ${after}` }));
              return;
            }
            const config = JSON.stringify(specV2({ lcut, sdkKey: feed.sdkKey }));
            await original.connection.send("HSET", [
              ...[key, "encoding", "plain_text", "lcut", String(lcut), "config", config],
            ]);
          };
          const isOver = new AbortController();
          const reading = readAll(backups[0] as RedisBackup, feed, isOver.signal);
          const [outcomes] = await Promise.all([
            Promise.allSettled(writes.map(run)).finally(() => isOver.abort()),
            reading,
          ]);
          expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([]);

          const written = writtenIn(await monitor.commandsOn(key));
          for (const [at, { lcut, isOurs }] of written.entries()) {
            const before = written[at - 1]?.lcut ?? -1;
            // The same version is written again only over an entry whose length shows that it is corrupt.
            if (isOurs) expect(lcut).toBeGreaterThanOrEqual(before);
          }
          const newestOfOurs = Math.max(...writes.map(({ lcut, writer }) => (writer === 0 ? 0 : lcut)));
          const last = written.at(-1);
          const lastOfOriginal = written.findLastIndex(({ isOurs }) => !isOurs);
          if (lastOfOriginal < 0) expect(last?.lcut).toBe(newestOfOurs);
          expect(await readBack(backups[1] as RedisBackup, feed)).toMatchObject({ lcut: last?.lcut });
        }),
        { numRuns: 25 },
      );
    }, 60_000);
  });
});

/**
 * Reads as often as it can. Each version must be complete and match its lcut. A relay that may not run HMGET gives up on an
 * entry that keeps changing while it is read.
 */
async function readAll(
  backup: RedisBackup,
  feed: ReturnType<typeof feedOf>,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    const read = await backup.read(feed, -1).catch((error: unknown) => {
      expect(error).toMatchObject({ message: expect.stringContaining("keep changing the entry") });
      return { kind: "none" as const };
    });
    expect(read.kind).not.toBe("unusable");
    if (read.kind === "found") {
      const { time } = JSON.parse(new TextDecoder().decode(read.raw.body)) as { readonly time: number };
      expect(time).toBe(read.raw.headerLcut as number);
    }
    await sleep(1);
  }
}
