import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/platform/clock.ts";
import { type FileContents, FileWatch } from "../../src/platform/file-watch.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";

const EVERY_MS = 20;

function watched(names: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), "file-watch-"));
  const paths = names.map((name) => join(folder, name));
  const reported: string[][] = [];
  const start = () =>
    new FileWatch({
      paths,
      clock: systemClock,
      supervisor: strictSupervisor(),
      everyMs: EVERY_MS,
      onChange: (all) => reported.push(texts(all)),
    });
  return { folder, paths, reported, start, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

const texts = (contents: FileContents) => [...contents.values()].map((content) => String(content));

test("reports a file each time it is written, replaced, removed or restored", async () => {
  using files = watched(["list"]);
  const [path = ""] = files.paths;
  writeFileSync(path, "one");
  await using _ = files.start();
  writeFileSync(path, "two");
  await eventually(() => expect(files.reported).toEqual([["two"]]));
  writeFileSync(`${path}.new`, "three");
  renameSync(`${path}.new`, path);
  await eventually(() => expect(files.reported.at(-1)).toEqual(["three"]));
  rmSync(path);
  await eventually(() => expect(files.reported.at(-1)).toEqual(["undefined"]));
  writeFileSync(path, "three");
  await eventually(() => expect(files.reported).toEqual([["two"], ["three"], ["undefined"], ["three"]]));
});

test("reports a folder that is swapped by its symlink once, with all files", async () => {
  using files = watched(["data/cert", "data/key"]);
  for (const version of ["old", "new"]) {
    mkdirSync(join(files.folder, version));
    writeFileSync(join(files.folder, version, "cert"), `${version} cert`);
    writeFileSync(join(files.folder, version, "key"), `${version} key`);
  }
  symlinkSync("old", join(files.folder, "data"));
  await using _ = files.start();
  symlinkSync("new", join(files.folder, "data.tmp"));
  renameSync(join(files.folder, "data.tmp"), join(files.folder, "data"));
  await eventually(() => expect(files.reported).toEqual([["new cert", "new key"]]));
});

test("reports neither a file that was touched without a change nor a change after the end", async () => {
  using files = watched(["list", "missing"]);
  const [path = ""] = files.paths;
  writeFileSync(path, "one");
  {
    await using _ = files.start();
    writeFileSync(path, "one");
    await Bun.sleep(10 * EVERY_MS);
  }
  writeFileSync(path, "two");
  await Bun.sleep(10 * EVERY_MS);
  expect(files.reported).toEqual([]);
});
