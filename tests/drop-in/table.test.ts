import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { type DropInRow, listDifferences } from "../support/drop-in/row.ts";

const rows = await readAllRows();
const subjects = listDifferences();

describe("The comparison with the original proxy", () => {
  test("has rows for every area", () => {
    expect(rows.length).toBeGreaterThan(300);
  });

  test("explains each difference once", () => {
    expect(new Set(subjects).size).toBe(subjects.length);
    const explained = new Set(subjects);
    const unexplained = rows.flatMap(({ ours }) => (ours === "same" ? [] : [ours.subject]));
    expect(unexplained.filter((subject) => !explained.has(subject))).toEqual([]);
  });

  test("has a row for each difference that the page for migrations lists", () => {
    const used = new Set(rows.flatMap(({ ours }) => (ours === "same" ? [] : [ours.subject])));
    expect(subjects.filter((subject) => !used.has(subject))).toEqual([]);
  });
});

/** Returns the rows of all tables: what `*.rows.ts` files export. */
async function readAllRows(): Promise<readonly DropInRow[]> {
  const files = await Array.fromAsync(new Glob("*.rows.ts").scan({ cwd: import.meta.dir, absolute: true }));
  const modules: readonly Readonly<Record<string, unknown>>[] = await Promise.all(
    files.map((file) => import(file)),
  );
  return modules.flatMap((each) => Object.values(each).flatMap(findRows));
}

/** Finds rows in lists and in records of rows. */
function findRows(value: unknown): readonly DropInRow[] {
  if (isRow(value)) return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(findRows) : [];
}

function isRow(value: unknown): value is DropInRow {
  return (
    typeof value === "object" && value !== null && "name" in value && "original" in value && "ours" in value
  );
}
