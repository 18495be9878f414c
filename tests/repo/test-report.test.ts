import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "bun";
import { formatDetails, readReport } from "../../scripts/test/report.ts";
import { junitReport } from "../../scripts/test/run-tests.ts";

const FAILING = `import { describe, expect, test } from "bun:test";
describe("a group", () => {
  describe("of <some> & others", () => {
    test("that has its 'own' \\"quotes\\"", () => expect({ a: 1 }).toEqual({ a: 2 }));
    test("that hangs", () => new Promise(() => {}), 50);
    test("that passes", () => {});
  });
});
`;

test("the reasons of failed tests are printed again at the end", () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-failing-"));
  try {
    const file = join(folder, "example.test.ts");
    writeFileSync(file, FAILING);
    const report = join(folder, "junit.xml");
    const { exitCode } = spawnSync([process.execPath, "test", ...junitReport(report), file]);
    const counts = readReport(readFileSync(report, "utf8"), exitCode);
    expect(counts).toMatchObject({ passed: 1, failed: 2, skipped: 0 });
    // Bun does not always say where the error was thrown.
    const details = formatDetails(counts).replace(/\n\n +at .*/, "");
    expect(details).toBe(`
== Failed tests
a group > of <some> & others > that has its 'own' "quotes"
  ${file}:4
    AssertionError: expect(received).toEqual(expected)

      {
    -   "a": 2,
    +   "a": 1,
      }

    - Expected  - 1
    + Received  + 1
a group > of <some> & others > that hangs
  ${file}:5
    test timed out`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a run without skipped and failed tests has no details", () => {
  const counts = readReport('<testsuites tests="2" failures="0" skipped="0"></testsuites>', 0);
  expect(counts).toMatchObject({ passed: 2, failed: 0, skipped: 0 });
  expect(formatDetails(counts)).toBe("");
});

test("a run without results is a failure", () => {
  expect(readReport("", 1)).toMatchObject({ passed: 0, failed: 1, skipped: 0 });
});
