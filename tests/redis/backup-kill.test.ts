import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeWith } from "../support/common/needs.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { readBack } from "../support/specs/backup-contract.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { VersionWriter } from "../support/specs/version-writer.ts";

const ROUNDS = 10;
const VERSIONS = 100;

describeWith("redis-server")("kill -9", () => {
  test(`while ${VERSIONS} versions are written leaves a complete one in Redis, never older than acknowledged`, async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const key = "secret-killed";
    let lastLcut = 0;
    let interrupted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const writer = new VersionWriter(String(server.port), key, lastLcut + 1, VERSIONS);
      await writer.acknowledges(1 + Math.floor(Math.random() * (VERSIONS - 20)));
      await sleep(Math.random() * 5);
      writer.kill();
      if ((await writer.ended) === null) interrupted++;
      const acknowledged = writer.acknowledged ?? 0;
      expect(acknowledged).toBeGreaterThan(lastLcut);
      const kept = await readBack(use.backup(), feedOf(key));
      lastLcut = kept?.lcut ?? 0;
      expect(lastLcut).toBeGreaterThanOrEqual(acknowledged);
      // At most one more: written, but killed before it could report that.
      expect(lastLcut).toBeLessThanOrEqual(acknowledged + 1);
    }
    expect(interrupted).toBeGreaterThan(0);
  }, 120_000);
});
