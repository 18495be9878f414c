import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { readBack } from "../support/specs/backup-contract.ts";
import { essence, preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { VersionWriter } from "../support/specs/version-writer.ts";
import { startHelper } from "../support/sqlite/helper-process.ts";
import {
  deleteFolders,
  fileIn,
  newFolder,
  type OpenedLocal,
  openLocal,
  startLocal,
} from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const HOUR_MS = 3_600_000;
const BODY_BYTES = 20_000;
const sample = await preparedSnapshot(feedOf("sample"), 1, { bytes: BODY_BYTES });

describe("a local backup that can't be used emits one event for", () => {
  const folder = newFolder();
  const regularFile = join(folder, "regular");
  writeFileSync(regularFile, "not mine");
  mkdirSync(join(folder, "taken", "specs.sqlite"), { recursive: true });
  const [socketFolder, pipeFolder] = [newFolder(), newFolder()];
  const socket = createServer().listen(fileIn(socketFolder));
  afterAll(() => socket.close());
  expect(spawnSync("mkfifo", [fileIn(pipeFolder)]).status).toBe(0);

  test.each([
    ["a file in place of the folder", regularFile, /a part of the path is a file/],
    ["a file on the way to the folder", join(regularFile, "deeper"), /a part of the path is a file/],
    ["a place where there are no files", "/proc/statsig", /the folder can't be created/],
    ["a folder in place of the file", join(folder, "taken"), /is not a regular file: remove it/],
    ["a socket in place of the file", socketFolder, /is not a regular file/],
    ["a named pipe in place of the file", pipeFolder, /is not a regular file/],
  ])("%s", async (_, path, why) => {
    await using local = startLocal(path);
    await eventually(() => expect(local.events).not.toEqual([]));
    const whole =
      /^the local backup \/.*sqlite: .*; the relay keeps config specs in memory only and tries again$/;
    expect(local.events).toEqual([{ kind: "local_unusable", detail: expect.stringMatching(why) }]);
    expect(local.events).toEqual([{ kind: "local_unusable", detail: expect.stringMatching(whole) }]);
    await expect(local.backup.read(feedOf("secret-unread"), -1)).rejects.toThrow(why);
    expect(await Bun.file(regularFile).text()).toBe("not mine");
  });
});

describe("a file that several relays share", () => {
  test("can be created by all of them at once", async () => {
    const folder = newFolder();
    const opened = await Promise.all(Array.from({ length: 8 }, () => openLocal(folder)));
    await using scope = new AsyncDisposableStack();
    for (const each of opened) scope.use(each);
    const snapshots = await Promise.all(opened.map((_, at) => preparedSnapshot(feedOf(`key-${at}`), 1)));
    await Promise.all(opened.map(({ backup }, at) => backup.write(snapshots[at] ?? never())));
    for (const snapshot of snapshots) {
      expect(await readBack((opened[0] ?? never()).backup, snapshot.feed)).toEqual(essence(snapshot));
    }
    expect(opened.flatMap(({ events }) => events)).toEqual([]);
    expect(readdirSync(folder).filter((name) => name.includes("corrupt"))).toEqual([]);
  });

  test("accepts the writes of several processes", async () => {
    const folder = newFolder();
    const writers = ["secret-first", "secret-second"].map((key) => new VersionWriter(folder, key, 1, 60));
    const codes = await Promise.all(writers.map((writer) => writer.ended));
    expect(codes).toEqual([0, 0]);
    await using local = await openLocal(folder);
    for (const key of ["secret-first", "secret-second"]) {
      expect(await readBack(local.backup, feedOf(key))).toMatchObject({ lcut: 60 });
    }
  });

  test("is renamed by one relay when all find it corrupt at once", async () => {
    const folder = newFolder();
    writeFileSync(fileIn(folder), "garbage ".repeat(2_000));
    const opened = await Promise.all(Array.from({ length: 4 }, () => openLocal(folder)));
    await using scope = new AsyncDisposableStack();
    for (const each of opened) scope.use(each);
    expect(opened.flatMap(({ events }) => events)).toMatchObject([{ kind: "local_corrupt_set_aside" }]);
  });

  test("that another program locks: calls reject within the time limit, which is reported once, and work again after that", async () => {
    const folder = newFolder();
    await using local = await openLocal(folder);
    const snapshot = await preparedSnapshot(feedOf("secret-locked"), 1);
    const other = new DatabaseSync(fileIn(folder));
    other.exec("BEGIN IMMEDIATE");
    await expect(local.backup.write(snapshot)).rejects.toThrow(/locked by another process/);
    expect(await local.backup.read(snapshot.feed, -1)).toEqual({ kind: "none" });
    other.exec("ROLLBACK");
    other.close();
    expect(await local.backup.write(snapshot)).toEqual({ kind: "written" });
    // Reads worked all the time.
    expect(local.events).toEqual([
      {
        kind: "local_failing",
        doing: "writing",
        detail: expect.stringContaining("locked by another process"),
      },
      { kind: "local_recovered", doing: "writing" },
    ]);
  });
});

describe("relays with different limits and keys that share a file", () => {
  const keptBytes = sample.compressed.zstd?.length ?? 0;
  const firstKeys = ["first-a", "first-b", "first-c"];
  const secondKeys = ["second-a", "second-b"];
  const writeAll = async ({ backup }: OpenedLocal, keys: readonly string[], lcut = 1) => {
    for (const key of keys)
      await backup.write(await preparedSnapshot(feedOf(key), lcut, { bytes: BODY_BYTES }));
  };
  const keptBy = async ({ backup }: OpenedLocal, keys: readonly string[]) => {
    const reads = await Promise.all(keys.map((key) => backup.read(feedOf(key), -1)));
    return keys.filter((_, at) => reads[at]?.kind === "found");
  };

  test.each([
    ["SDK keys", { maxKeys: 1 }],
    ["bytes", { maxBytes: Math.floor(1.5 * keptBytes) }],
  ])(
    "a relay with a lower limit of %s evicts its own versions, and those of another relay only after that has ended",
    async (_, bounds) => {
      const folder = newFolder();
      const clock = new FakeClock();
      await using first = await openLocal(folder, { clock });
      await writeAll(first, firstKeys);
      await using second = await openLocal(folder, { clock, ...bounds });
      await clock.advance(HOUR_MS);
      await writeAll(second, secondKeys);
      expect(await keptBy(second, [...firstKeys, ...secondKeys])).toEqual([...firstKeys, "second-b"]);
      await writeAll(second, [firstKeys[0] ?? never()], 2);
      expect(await keptBy(first, firstKeys)).toEqual(firstKeys);
      expect(first.events).toEqual([]);
      await first[Symbol.asyncDispose]();
      // The relay may be restarted soon.
      for (let check = 0; check < 20; check++) {
        await clock.advance(60_000);
        expect(await keptBy(second, firstKeys)).toEqual(firstKeys);
      }
      await eventually(async () => {
        await clock.advance(HOUR_MS);
        expect(await keptBy(second, [...firstKeys, ...secondKeys])).toHaveLength(1);
      });
    },
  );

  test("versions that both use stay within the limits of each", async () => {
    const folder = newFolder();
    const clock = new FakeClock();
    await using first = await openLocal(folder, { clock, maxKeys: 2 });
    await using second = await openLocal(folder, { clock, maxKeys: 2 });
    const keys = Array.from({ length: 10 }, (_, at) => `both-${at}`);
    for (const key of keys) {
      await writeAll(first, [key]);
      await second.backup.touch(snapshotOf(feedOf(key), 1));
      await clock.advance(HOUR_MS);
    }
    await writeAll(second, ["both-10"]);
    expect((await keptBy(first, [...keys, "both-10"])).length).toBeLessThanOrEqual(4);
  });

  test("versions of a relay that was killed are evicted later", async () => {
    const folder = newFolder();
    await using other = await startHelper("local-user-process.ts", folder, "secret-killed");
    const clock = new FakeClock();
    await using second = await openLocal(folder, { clock, maxKeys: 1 });
    await writeAll(second, secondKeys);
    expect(await keptBy(second, ["secret-killed", ...secondKeys])).toEqual(["secret-killed", "second-b"]);
    await other[Symbol.asyncDispose]();
    await eventually(async () => {
      await clock.advance(HOUR_MS);
      expect(await keptBy(second, ["secret-killed", "second-b"])).toHaveLength(1);
    });
  });

  test("a relay that removes a key keeps the versions that another relay uses", async () => {
    const folder = newFolder();
    await using first = await openLocal(folder);
    await using second = await openLocal(folder);
    await writeAll(first, firstKeys);
    await second.backup.touch(snapshotOf(feedOf("first-a"), 1));
    for (const key of firstKeys) await second.backup.remove(feedOf(key));
    expect(await keptBy(first, firstKeys)).toEqual(firstKeys);
    await first.backup.remove(feedOf("first-a"));
    expect(await keptBy(second, firstKeys)).toEqual(["first-b", "first-c"]);
  });

  test("a relay that can't use a version does not replace it by an older one, unless the other relay can't use it, either", async () => {
    const folder = newFolder();
    await using first = await openLocal(folder);
    await using second = await openLocal(folder, { maxPayloadBytes: 5_000 });
    await writeAll(first, ["large"], 10);
    expect(await second.backup.read(feedOf("large"), -1)).toMatchObject({ kind: "unusable" });
    const older = await preparedSnapshot(feedOf("large"), 9);
    expect(await second.backup.write(older, 10)).toEqual({ kind: "not_newer", lcut: 10 });
    expect(await readBack(first.backup, feedOf("large"))).toMatchObject({ lcut: 10 });
    // As it does with a version that no relay can use.
    expect(await first.backup.write(older, 10)).toEqual({ kind: "written" });
  });
});

function never(): never {
  throw new Error("not there");
}
