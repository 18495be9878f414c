import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { root } from "../../scripts/command.ts";
import { findBlackBoxTests } from "../../scripts/test/black-box-tests.ts";
import { listTestFiles, selectTestFiles, splitTestArguments } from "../../scripts/test/test-files.ts";

const files = [
  "tests/redis/backup-kill.test.ts",
  "tests/redis/backup.test.ts",
  "tests/sqlite/backup.test.ts",
];

describe("a named test file", () => {
  test.each([
    ["a path", "tests/redis/backup.test.ts"],
    ["a path from the current folder", "./tests/redis/backup.test.ts"],
    ["an absolute path", join(root, "tests/redis/backup.test.ts")],
    ["a part of a path", "redis/backup."],
  ])("is selected by %s", (_, name) => {
    expect(selectTestFiles([name], files)).toEqual(["tests/redis/backup.test.ts"]);
  });

  test("is selected once, and with every other file that contains the name", () => {
    expect(selectTestFiles(["redis/backup", "backup.test"], files)).toEqual(files);
  });

  test("that matches nothing is an error with the most similar paths", () => {
    expect(() => selectTestFiles(["redis/bakcup"], files)).toThrow(
      'no test file matches "redis/bakcup"; did you mean\n  tests/redis/backup.test.ts\n  tests/redis/backup-kill.test.ts',
    );
    expect(() => selectTestFiles(["xyz"], files)).toThrow(/^no test file matches "xyz"$/);
  });
});

test("flags of bun test are separated from the names of files", () => {
  expect(splitTestArguments(["--bail", "redis", "-t", "a name", "--rerun-each=2", "sqlite"])).toEqual({
    names: ["redis", "sqlite"],
    flags: ["--bail", "-t", "a name", "--rerun-each=2"],
  });
});

test("black-box tests are those that start a relay process", async () => {
  const [found, all] = await Promise.all([findBlackBoxTests(), listTestFiles()]);
  expect(found).toContain("tests/cli/cli.test.ts");
  expect(found).not.toContain("tests/repo/imports.test.ts");
  expect(all).toEqual(expect.arrayContaining(found));
});

test("npm test fails quickly for a name that matches no file", () => {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "scripts/test.ts", "redis/bakcup"], {
    cwd: root,
  });
  expect(exitCode).toBe(1);
  expect(stderr.toString()).toMatch(
    /^test: no test file matches "redis\/bakcup"; did you mean\n {2}tests\/redis\//,
  );
});
