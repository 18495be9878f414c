import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { STORIES } from "../support/operators/story-text.ts";

test("each of at least twelve situations in docs/operations.md has commands, and a test that runs them", () => {
  const tests = readdirSync(import.meta.dir)
    .filter((name) => name.startsWith("stories-"))
    .map((name) => readFileSync(`${import.meta.dir}/${name}`, "utf8"))
    .join("\n");
  expect(STORIES.length).toBeGreaterThanOrEqual(12);
  expect(STORIES.filter(({ blocks }) => blocks.length === 0)).toEqual([]);
  expect(STORIES.map(({ title }) => title).filter((title) => !tests.includes(`test("${title}"`))).toEqual([]);
});
