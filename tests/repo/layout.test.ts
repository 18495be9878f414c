import { expect, test } from "bun:test";
import { findLayoutProblems } from "../../scripts/checks/layout.ts";
import { type Files, inFolder } from "../support/repo/project-folder.ts";

const problemsIn = (files: Files) => inFolder(files, findLayoutProblems);

/** This many files in a folder. */
const manyFiles = (folder: string, count: number): Files =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`${folder}/file-${at}.ts`, ""]));

test("a source tree that follows the rules has no problems", async () => {
  const files = {
    "main.ts": "",
    "version.ts": "",
    ...manyFiles("specs", 20),
    ...manyFiles("specs/more", 20),
  };
  expect(await problemsIn(files)).toEqual([]);
});

test("a file at the root is named", async () => {
  expect(await problemsIn({ "main.ts": "", "clock.ts": "" })).toEqual([
    "src/clock.ts: only main.ts and version.ts may be at the root of src, move it to a folder",
  ]);
});

test("a folder with more than 20 files is named", async () => {
  expect(await problemsIn(manyFiles("http/routes", 21))).toEqual([
    "src/http/routes has 21 files (expected at most 20): split it",
  ]);
});

test("two exported types of one name are named with their files", async () => {
  const files = {
    "redis/entry.ts": "export interface Entry {\n}",
    "sqlite/entry.ts": "export type Entry = string;",
    "specs/entry.ts": "interface Entry {\n}\nexport const entry = 1;",
    "http/entry.ts": 'export type { Entry } from "../redis/entry.ts";\nexport function entry() {}',
    "gen/entry.ts": "export class Entry {}",
  };
  expect(await problemsIn(files)).toEqual([
    "src/redis/entry.ts and src/sqlite/entry.ts export a type named Entry: rename all but one",
  ]);
});
