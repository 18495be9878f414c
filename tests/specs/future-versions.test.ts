import { afterAll, describe, expect, test } from "bun:test";
import type { SpecBackup } from "../../src/specs/backup.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayOptions, startRelayProcess } from "../support/relay/relay-process.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { deleteFolders, newFolder, openLocal } from "../support/sqlite/local-backups.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-future";
const feed = feedOf(KEY);
afterAll(deleteFolders);

/** As written by an older relay or with a wrong clock. */
async function fromFuture(): Promise<Snapshot> {
  return { ...(await preparedSnapshot(feed, 5)), lcut: Date.now() + 365 * 86_400_000 };
}

/** `use` opens the backup of relays with these options, and closes it. */
async function isNeverServed(
  options: RelayOptions,
  use: <T>(work: (backup: SpecBackup) => Promise<T>) => Promise<T>,
): Promise<void> {
  const poison = await fromFuture();
  expect(await use((backup) => backup.write(poison))).toEqual({ kind: "written" });
  await using upstream = await startUpstream();
  const key = publishKey(upstream, KEY);
  await upstream.stop();
  {
    await using relay = await startRelayProcess({ ...options, upstream });
    expect((await ask(relay, KEY)).status).toBe(503);
    await eventually(() =>
      expect(relay.output()).toMatch(/backup entry unusable, not served.*(in the future|24 h ahead)/),
    );
    await upstream.restart();
    await eventually(async () => expect(textOf(await ask(relay, KEY))).toBe(key.v2), { withinMs: 20_000 });
    const newer = publishKey(upstream, KEY, 1);
    await eventually(async () => expect(textOf(await ask(relay, KEY))).toBe(newer.v2), { withinMs: 20_000 });
    // A clean shutdown completes pending writes.
    await relay.stop();
  }
  await upstream.stop();
  await using relay = await startRelayProcess({ ...options, upstream });
  expect((await ask(relay, KEY)).headers["x-since-time"]).toBe(String(key.lcut + 60_000));
}

describe("a version from the future in a backup is never served, and upstream's version replaces it", () => {
  test("local", async () => {
    const path = newFolder();
    await isNeverServed({ cache: "local", args: ["--local-cache-path", path] }, async (work) => {
      await using opened = await openLocal(path);
      return await work(opened.backup);
    });
  }, 60_000);

  describeWith("redis-server")("with redis-server", () => {
    test("redis", async () => {
      await using redis = await RedisServer.start();
      await using used = new RedisUse(redis.options);
      const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
      await isNeverServed({ cache: "redis", args: ["-r", "1"], env }, (work) => work(used.backup()));
    }, 60_000);
  });
});

test("an upstream with only versions from the future is reported as a problem with that reason", async () => {
  await using upstream = await startUpstream();
  for (const version of ["v1", "v2"] as const) {
    upstream.publish(KEY, version, { has_updates: true, time: Date.now() * 1_000 });
  }
  await using managed = await startManagedRelay({ upstream, args: ["--preload-sdk-keys", KEY] });
  expect((await ask(managed.relay, KEY)).status).toBe(503);
  const report = await reported(managed, (each) => expect(each.feeds_by_state.failing).toBe(2));
  expect(problemsOf(report)[1]).toEqual([
    "upstream_failing",
    "No config to serve: upstream sends versions from the future",
  ]);
  expect(report.problems[1]?.detail).toMatch(
    /^the version \d{16} is more than 24 h ahead .* not in ms since 1970$/,
  );
  await eventually(() => expect(managed.relay.output()).toContain("refused: in_future"));
});
