import { expect, test } from "bun:test";
import { listDifferences } from "../support/drop-in/row.ts";

test("the page for migrations lists each difference once", () => {
  const subjects = listDifferences();
  expect(subjects.length).toBeGreaterThan(15);
  expect(new Set(subjects).size).toBe(subjects.length);
});
