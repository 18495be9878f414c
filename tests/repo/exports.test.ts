import { expect, test } from "bun:test";
import { findUnusedExports } from "../../scripts/checks/exports.ts";
import { type Files, inFolder } from "../support/repo/project-folder.ts";

/** What the check reports about src/specs/a.ts, which exports `used`, if these files import it. */
async function problemsWith(files: Files): Promise<string[]> {
  return await inFolder({ "src/specs/a.ts": "export const used = 1;", ...files }, findUnusedExports);
}

test("an export without an importer is named", async () => {
  expect(
    await problemsWith({ "src/specs/b.ts": 'import "./a.ts";\nimport { used } from "./c.ts";' }),
  ).toEqual(["src/specs/a.ts exports used, which no other file imports: remove `export`, or the code"]);
});

test.each([
  ["an import", 'import { other, used } from "../src/specs/a.ts";'],
  [
    "an import over several lines, under another name",
    'import {\n  used as other,\n} from "../src/specs/a.ts";',
  ],
  ["an import of a type", 'import { type used } from "../src/specs/a.ts";'],
  ["an import of the module", 'import * as a from "../src/specs/a.ts";'],
  ["a re-export", 'export { used } from "../src/specs/a.ts";'],
  ["a re-export of everything", 'export * from "../src/specs/a.ts";'],
  ["a dynamic import", '  const { used } = await import("../src/specs/a.ts");'],
  ["a dynamic import of the module", '  const a = await import("../src/specs/a.ts");'],
])("%s is a use", async (_, source) => {
  expect(await problemsWith({ "tests/a.test.ts": source })).toEqual([]);
});

test.each([
  ["another name of the module", 'import { unused } from "../src/specs/a.ts";'],
  ["another name, dynamically", '  const { unused } = await import("../src/specs/a.ts");'],
  ["a type of an expression", 'let x: import("../src/specs/a.ts").Other;'],
  ["a Worker", 'new Worker(new URL("../src/specs/a.ts", import.meta.url));'],
  ["an import in a comment", '// import { used } from "../src/specs/a.ts";'],
])("%s is no use", async (_, source) => {
  expect(await problemsWith({ "tests/a.test.ts": source })).toHaveLength(1);
});

test.each([
  "export async function f() {}",
  "export function* f() {}",
  "export abstract class f {}",
  "export interface f {}",
  "export type f = 1;",
  "export let f = 1;",
])("every kind of declaration is checked: %s", async (source) => {
  expect(await inFolder({ "src/specs/b.ts": source }, findUnusedExports)).toHaveLength(1);
});

test("generated code may export more than is used", async () => {
  expect(await inFolder({ "src/gen/a.ts": "export const a = 1;" }, findUnusedExports)).toEqual([]);
});
