import { afterAll, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readBack } from "../support/specs/backup-contract.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { VersionWriter } from "../support/specs/version-writer.ts";
import { deleteFolders, newFolder, openLocal } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const ROUNDS = 10;
const VERSIONS = 100;

test(`kill -9 while ${VERSIONS} versions are written leaves a complete one, never older than acknowledged`, async () => {
  const folder = newFolder();
  const key = "secret-killed";
  let lastLcut = 0;
  let interrupted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const writer = new VersionWriter(folder, key, lastLcut + 1, VERSIONS);
    await writer.acknowledges(1 + Math.floor(Math.random() * (VERSIONS - 20)));
    await sleep(Math.random() * 5);
    writer.kill();
    if ((await writer.ended) === null) interrupted++;
    const acknowledged = writer.acknowledged ?? 0;
    expect(acknowledged).toBeGreaterThan(lastLcut);

    await using local = await openLocal(folder);
    const kept = await readBack(local.backup, feedOf(key));
    lastLcut = kept?.lcut ?? 0;
    expect(lastLcut).toBeGreaterThanOrEqual(acknowledged);
    // At most one more: written, but killed before it could report that.
    expect(lastLcut).toBeLessThanOrEqual(acknowledged + 1);
    expect(local.events).toEqual([]);
  }
  expect(interrupted).toBeGreaterThan(0);
}, 120_000);

test("kill -9 of two relays that share a file: each finds the versions that were acknowledged to it", async () => {
  const folder = newFolder();
  const keys = ["secret-killed-a", "secret-killed-b"];
  let lastLcut = 0;
  for (let round = 0; round < 4; round++) {
    const writers = keys.map((key) => new VersionWriter(folder, key, lastLcut + 1, VERSIONS));
    await Promise.all(writers.map((writer) => writer.acknowledges(1 + Math.floor(Math.random() * 50))));
    for (const writer of writers) writer.kill();
    await Promise.all(writers.map(({ ended }) => ended));

    await using local = await openLocal(folder);
    for (const [at, key] of keys.entries()) {
      const lcut = (await readBack(local.backup, feedOf(key)))?.lcut ?? 0;
      expect(lcut).toBeGreaterThanOrEqual(writers[at]?.acknowledged ?? Number.POSITIVE_INFINITY);
    }
    expect(local.events).toEqual([]);
    lastLcut += VERSIONS;
  }
}, 120_000);
