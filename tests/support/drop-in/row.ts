import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One thing that the original forward proxy accepts, answers, stores or sends, and what the relay does. */
export interface DropInRow {
  /** Unique in its table. */
  readonly name: string;
  /** What the original does, in words. */
  readonly original: string;
  /** `same`, or what the relay does instead and the subject of the row in docs/migrating.md that says why. */
  readonly ours: "same" | { readonly does: string; readonly subject: string };
}

/** Runs a check for each row. A row that differs must name a row of docs/migrating.md. */
export function testRows<Row extends DropInRow>(
  rows: readonly Row[],
  check: (row: Row) => void | Promise<void>,
): void {
  for (const row of rows) {
    const verdict = row.ours === "same" ? "same" : `differs: ${row.ours.subject}`;
    test(`${row.name}: ${row.original} (${verdict})`, async () => {
      if (row.ours !== "same") expect(listDifferences()).toContain(row.ours.subject);
      await check(row);
    });
  }
}

/** Returns the subjects of the tables under "Different" in docs/migrating.md. */
export function listDifferences(): readonly string[] {
  const page = readFileSync(join(import.meta.dir, "../../../docs/migrating.md"), "utf8");
  const tables = page.slice(page.indexOf("\n## Different"));
  return tables.split("\n").flatMap((line) => {
    const subject = /^\| (.+?) (?<!\\)\|/.exec(line)?.[1];
    return subject === undefined || subject === "subject" ? [] : [subject];
  });
}
