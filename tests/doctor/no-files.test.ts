import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const SOURCES = join(import.meta.dir, "../../src");

/** A page or folder of this repository, which is not part of the binary. */
const FILES = /\b[\w-]+\.md\b|\b(?:docs|deploy|scripts|examples)\/\w/;

/** What to read after the next step of a problem, which is enough by itself. */
const FURTHER_READING = /^ {4}doc: "/;

/** Comments are not in the binary. */
const COMMENTS = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$|<!--[\s\S]*?-->/gm;

test("no text of the binary, such as a fix, an error, a log line or a page, needs a file of the repository", () => {
  const names = readdirSync(SOURCES, { recursive: true, encoding: "utf8" });
  const sources = names.filter((name) => /\.(ts|html)$/.test(name) && !name.startsWith("gen/"));
  expect(sources.length).toBeGreaterThan(100);
  const found = sources.flatMap((name) => {
    const lines = readFileSync(join(SOURCES, name), "utf8").replace(COMMENTS, "").split("\n");
    return lines
      .filter((line) => FILES.test(line) && !FURTHER_READING.test(line))
      .map((line) => `${name}: ${line.trim()}`);
  });
  expect(found).toEqual([]);
});
