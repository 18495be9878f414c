import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../src/clock.ts";
import type { LocalEvent } from "../src/local/events.ts";
import { openLocalBackup } from "../src/local/local-backup.ts";
import { readBack } from "./support/backup-contract.ts";
import { deleteFolders, fileIn, newFolder, openLocal } from "./support/local-backups.ts";
import { essence, preparedSnapshot } from "./support/prepared-snapshots.ts";
import { feedOf } from "./support/snapshots.ts";
import { strictSupervisor } from "./support/supervisors.ts";
import { VersionWriter } from "./support/version-writer.ts";

afterAll(deleteFolders);

describe("where it can't be used there is one clear line, and no backup", () => {
  const attempt = async (path: string) => {
    const events: LocalEvent[] = [];
    const onProblem = (event: LocalEvent) => events.push(event);
    const limits = { maxKeys: 10, maxBytes: 1_000_000, maxPayloadBytes: 1_000_000 };
    return {
      backup: await openLocalBackup({
        supervisor: strictSupervisor(),
        path,
        ...limits,
        clock: systemClock,
        onProblem,
      }),
      events,
    };
  };

  const folder = newFolder();
  const regularFile = join(folder, "regular");
  writeFileSync(regularFile, "not mine");
  mkdirSync(join(folder, "taken", "specs.sqlite"), { recursive: true });

  test.each([
    ["a file in place of the folder", regularFile, /a part of the path is a file/],
    ["a file on the way to the folder", join(regularFile, "deeper"), /a part of the path is a file/],
    ["a place where there are no files", "/proc/statsig", /the folder can't be made/],
    ["a folder in place of the file", join(folder, "taken"), /unable to open database file/],
  ])("%s", async (_, path, why) => {
    const { backup, events } = await attempt(path);
    expect(backup).toBeUndefined();
    expect(events).toEqual([{ kind: "local_unusable", detail: expect.stringMatching(why) }]);
    const whole = /^the embedded backup \/.*sqlite: .*; the relay goes on with memory only$/;
    expect(events).toEqual([{ kind: "local_unusable", detail: expect.stringMatching(whole) }]);
    expect(await Bun.file(regularFile).text()).toBe("not mine");
  });
});

describe("one file of several relays", () => {
  test("may be begun by all of them at once", async () => {
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

  test("takes the writes of several processes", async () => {
    const folder = newFolder();
    const writers = ["secret-first", "secret-second"].map((key) => new VersionWriter(folder, key, 1, 60));
    const codes = await Promise.all(writers.map((writer) => writer.ended));
    expect(codes).toEqual([0, 0]);
    await using local = await openLocal(folder);
    for (const key of ["secret-first", "secret-second"]) {
      expect(await readBack(local.backup, feedOf(key))).toMatchObject({ lcut: 60 });
    }
  });

  test("when one is found damaged by all at once, one relay sets it aside", async () => {
    const folder = newFolder();
    writeFileSync(fileIn(folder), "garbage ".repeat(2_000));
    const opened = await Promise.all(Array.from({ length: 4 }, () => openLocal(folder)));
    await using scope = new AsyncDisposableStack();
    for (const each of opened) scope.use(each);
    expect(opened.flatMap(({ events }) => events)).toMatchObject([{ kind: "local_corrupt_set_aside" }]);
  });

  test("locked by another program, calls are rejected in time, which is told once, and work again after that", async () => {
    const folder = newFolder();
    await using local = await openLocal(folder);
    const snapshot = await preparedSnapshot(feedOf("secret-locked"), 1);
    const other = new DatabaseSync(fileIn(folder));
    other.exec("BEGIN IMMEDIATE");
    const startedAt = performance.now();
    await expect(local.backup.write(snapshot)).rejects.toThrow(/database is locked/);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(await local.backup.read(snapshot.feed, -1)).toEqual({ kind: "none" });
    other.exec("ROLLBACK");
    other.close();
    expect(await local.backup.write(snapshot)).toEqual({ kind: "written" });
    // Reading went on to work.
    expect(local.events).toEqual([
      { kind: "local_failing", doing: "writing", detail: expect.stringContaining("database is locked") },
      { kind: "local_works_again", doing: "writing" },
    ]);
  }, 15_000);
});

function never(): never {
  throw new Error("not there");
}
