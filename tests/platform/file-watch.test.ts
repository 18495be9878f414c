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
  const told: string[][] = [];
  const start = () =>
    new FileWatch({
      paths,
      clock: systemClock,
      supervisor: strictSupervisor(),
      everyMs: EVERY_MS,
      onChange: (all) => told.push(texts(all)),
    });
  return { folder, paths, told, start, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

const texts = (contents: FileContents) => [...contents.values()].map((content) => String(content));

test("a file that is written, replaced, removed and back again is told of each time", async () => {
  using files = watched(["list"]);
  const [path = ""] = files.paths;
  writeFileSync(path, "one");
  await using _ = files.start();
  writeFileSync(path, "two");
  await eventually(() => expect(files.told).toEqual([["two"]]));
  writeFileSync(`${path}.new`, "three");
  renameSync(`${path}.new`, path);
  await eventually(() => expect(files.told.at(-1)).toEqual(["three"]));
  rmSync(path);
  await eventually(() => expect(files.told.at(-1)).toEqual(["undefined"]));
  writeFileSync(path, "three");
  await eventually(() => expect(files.told).toEqual([["two"], ["three"], ["undefined"], ["three"]]));
});

test("a folder that is swapped by its symlink is told of once, with all files", async () => {
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
  await eventually(() => expect(files.told).toEqual([["new cert", "new key"]]));
});

test("a file that is touched but not changed is told of never, nor is anything after the end", async () => {
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
  expect(files.told).toEqual([]);
});
