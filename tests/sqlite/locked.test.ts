import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Opening } from "../../src/sqlite/opening.ts";
import { textOf } from "../support/clients/raw-get.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { lockedBy } from "../support/relay/runtime.ts";
import { lockFileElsewhere } from "../support/sqlite/helper-process.ts";
import { deleteFolders, fileIn, newFolder, openLocal } from "../support/sqlite/local-backups.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

afterAll(deleteFolders);

const PATIENCE = { withinMs: 15_000, everyMs: 50 };

/** Longer than any test waits, so that a relay that uses up its grace period fails the test. */
const start = (upstream: Upstream, folder: string, args: readonly string[] = []) =>
  startManagedRelay({
    upstream,
    cache: "local",
    args: ["--local-cache-path", folder, "--shutdown-grace-in-s", "120", ...args],
  });

const problemsOf = async (managed: ManagedRelay) => (await managed.status()).problems;

const expectUnusable = (managed: ManagedRelay, why: RegExp) =>
  eventually(async () => {
    const [problem] = (await problemsOf(managed)).filter(({ kind }) => kind === "local_unusable");
    expect(problem?.detail).toMatch(why);
  }, PATIENCE);

const expectInUse = (managed: ManagedRelay) =>
  eventually(async () => {
    expect(managed.relay.output()).toContain("local backup opened");
    const kinds = (await problemsOf(managed)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith("local"))).toEqual([]);
  }, PATIENCE);

/** A file with one version of this key, written by a relay. */
async function folderWith(upstream: Upstream, sdkKey: string): Promise<string> {
  const folder = newFolder();
  const managed = await start(upstream, folder);
  await using relay = managed.relay;
  expect((await ask(relay, sdkKey)).status).toBe(200);
  expect(await relay.stop()).toBe(0);
  return folder;
}

/** Upstream is down, so only the backup has the key. */
async function expectKept(upstream: Upstream, folder: string, sdkKey: string, text: string): Promise<void> {
  await upstream.stop();
  const managed = await start(upstream, folder);
  await using relay = managed.relay;
  expect(textOf(await ask(relay, sdkKey))).toBe(text);
}

describe("a relay whose file another process has locked", () => {
  test.each([
    ["by a transaction", "", "BEGIN EXCLUSIVE", false],
    [
      "by an exclusive transaction of another program",
      "",
      "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE",
      true,
    ],
    ["by the lock that relays open it with, in a process that hangs", ".lock", "BEGIN IMMEDIATE", true],
  ])(
    "%s",
    async (_, suffix, sql, hangs) => {
      await using upstream = await startUpstream();
      const [kept, fresh] = [publishKey(upstream, "secret-kept"), publishKey(upstream, "secret-fresh")];
      const folder = await folderWith(upstream, kept.sdkKey);
      const locker = await lockFileElsewhere(fileIn(folder) + suffix, sql);
      await using held = locker;
      if (hangs) held.hang();
      const managed = await start(upstream, folder);
      await using relay = managed.relay;
      expect(textOf(await ask(relay, fresh.sdkKey))).toBe(fresh.v2);
      await expectUnusable(managed, lockedBy(held.pid));
      await eventually(() => expect(relay.output().match(/local backup unusable/g)).toHaveLength(1));
      await upstream.stop();
      expect((await ask(relay, kept.sdkKey)).status).toBe(503);
      await held[Symbol.asyncDispose]();
      await expectInUse(managed);
      await eventually(async () => expect(textOf(await ask(relay, kept.sdkKey))).toBe(kept.v2), PATIENCE);
      await relay.kill();
      await expectKept(upstream, folder, fresh.sdkKey, fresh.v2);
    },
    60_000,
  );

  test("ends on SIGTERM without the file", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-stopped");
    const folder = await folderWith(upstream, key.sdkKey);
    await using held = await lockFileElsewhere(fileIn(folder));
    held.hang();
    const managed = await start(upstream, folder);
    await using relay = managed.relay;
    expect((await ask(relay, key.sdkKey)).status).toBe(200);
    expect(await relay.stop()).toBe(0);
  }, 60_000);

  test("ends on SIGTERM if the file was locked later, with versions that can't be written", async () => {
    await using upstream = await startUpstream();
    const keys = Array.from({ length: 12 }, (_, at) => publishKey(upstream, `secret-late-${at}`).sdkKey);
    const folder = newFolder();
    const managed = await start(upstream, folder);
    await using relay = managed.relay;
    await Promise.all(keys.map((key) => ask(relay, key)));
    await using held = await lockFileElsewhere(fileIn(folder));
    held.hang();
    for (const key of keys) publishKey(upstream, key, 1);
    await eventually(() => expect(relay.output()).toContain("local backup failing"), PATIENCE);
    await eventually(() => expect(relay.output()).toMatch(lockedBy(held.pid)));
    expect(await relay.stop()).toBe(0);
  }, 60_000);
});

describe("a file that becomes usable later", () => {
  test("because a folder in its place is removed", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-folder");
    const folder = newFolder();
    mkdirSync(fileIn(folder));
    const managed = await start(upstream, folder);
    await using relay = managed.relay;
    expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
    await expectUnusable(managed, /not a regular file: remove it/);
    rmSync(fileIn(folder), { recursive: true });
    await expectInUse(managed);
    await eventually(() => expect(hasVersions(folder)).toBe(1), PATIENCE);
  }, 60_000);

  const script = join(import.meta.dir, "../support/sqlite", "unwritable-folder-process.ts");
  const onSmallDisk = (folder: string) => [
    "-rm",
    "sh",
    "-c",
    `mount -t tmpfs -o size=2m none ${folder} && exec "$@"`,
    "sh",
  ];
  const unshare = (args: readonly string[], ...command: string[]) =>
    spawnSync("unshare", [...args, ...command], { encoding: "utf8" });

  describe.skipIf(unshare(onSmallDisk(newFolder()), "true").status !== 0)("a folder", () => {
    test.each([
      ["on a read-only disk", "read-only", onSmallDisk, /read-only file system/],
      ["on a full disk", "full", onSmallDisk, /no space left on device|full/],
      ["that may not be entered", "forbidden", () => ["--user", "--map-user=1000"], /permission denied/],
    ])(
      "%s",
      (_, obstacle, isolation, why) => {
        const folder = newFolder();
        const { stdout, stderr } = unshare(isolation(folder), process.execPath, script, obstacle, folder);
        expect(stderr).toBe("");
        expect(JSON.parse(stdout)).toEqual({
          before: "rejected",
          after: "written",
          events: [{ kind: "local_unusable", detail: expect.stringMatching(why) }, { kind: "local_usable" }],
        });
      },
      60_000,
    );
  });

  test("after a folder took the place of the file while the relay ran", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-replaced");
    const folder = newFolder();
    const managed = await start(upstream, folder);
    await using relay = managed.relay;
    expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
    await eventually(() => expect(hasVersions(folder)).toBe(1), PATIENCE);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(fileIn(folder) + suffix, { force: true });
    mkdirSync(fileIn(folder));
    await expectUnusable(managed, /not a regular file: remove it/);
    expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
    rmSync(fileIn(folder), { recursive: true });
    await expectInUse(managed);
    await eventually(() => expect(hasVersions(folder)).toBe(1), PATIENCE);
  }, 60_000);

  test("after the file was deleted while the relay ran: it contains the relay's versions again, without waiting for newer ones", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-deleted");
    const folder = newFolder();
    const managed = await start(upstream, folder);
    await using relay = managed.relay;
    expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(fileIn(folder) + suffix, { force: true });
    await eventually(() => expect(hasVersions(folder)).toBe(1), { withinMs: 40_000, everyMs: 200 });
    await relay.kill();
    await expectKept(upstream, folder, key.sdkKey, key.v2);
  }, 60_000);
});

test.each([
  ["garbage", ".lock"],
  ["garbage", ".relay-1"],
  ["garbage", ".lock-journal"],
])("%s in %s is ignored", async (content, suffix) => {
  const folder = newFolder();
  writeFileSync(fileIn(folder) + suffix, `${content} `.repeat(2_000));
  await using local = await openLocal(folder);
  expect(local.events).toEqual([]);
});

function hasVersions(folder: string): number {
  using db = new DatabaseSync(join(folder, "specs.sqlite"), { readOnly: true });
  return Number(db.prepare("SELECT count(*) AS versions FROM spec").get()?.["versions"]);
}

test("calls wait until 3 seconds after the start of the first attempt, not 3 seconds each", async () => {
  const clock = new FakeClock();
  const opened = Promise.withResolvers<void>();
  const supervisor = strictSupervisor(clock);
  const nothing = () => {};
  const loop = "local_backup_opening";
  const open = () => opened.promise;
  const opening = new Opening({ loop, clock, supervisor, open, onUnusable: nothing, onUsable: nothing });
  const first = opening.attempted();
  await clock.advance(3_000);
  await first;
  // The clock stands still, so a further wait would not end.
  await opening.attempted();
  opened.resolve();
  await opening[Symbol.asyncDispose]();
});
