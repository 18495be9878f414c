import { expect, test } from "bun:test";
import { findDependencyProblems } from "../../scripts/checks/dependencies.ts";

const HASH = `sha512-${"A".repeat(86)}==`;

interface Entry {
  readonly needs?: readonly string[];
  readonly optional?: readonly string[];
  readonly os?: string;
  readonly hash?: string;
}

/** Formats a bun.lock with the trailing commas that Bun writes. Every package has version 1.0.0. */
function formatLock(entries: Readonly<Record<string, Entry>>): string {
  const versioned = (names: readonly string[] = []) =>
    Object.fromEntries(names.map((name) => [name, "1.0.0"]));
  const lines = Object.entries(entries).map(([path, { needs, optional, os, hash = HASH }]) => {
    const name = /(@[^/]+\/)?[^/]+$/.exec(path)?.[0];
    const meta = {
      dependencies: versioned(needs),
      optionalDependencies: versioned(optional),
      ...(os && { os }),
    };
    return `${JSON.stringify(path)}: ${JSON.stringify([`${name}@1.0.0`, "", meta, hash])},`;
  });
  return `{ "lockfileVersion": 2, "packages": {\n${lines.join("\n")}\n}, }`;
}

const manifest = {
  dependencies: { a: "1.0.0" },
  devDependencies: { "@s/b": "1.0.0" },
  optionalDependencies: { f: "1.0.0" },
};
const lock = {
  a: { needs: ["c"], optional: ["a-linux", "a-not-locked"] },
  "a/c": { needs: ["d"] },
  "a-linux": { os: "linux" },
  "@s/b": {},
  c: { needs: ["e"] },
  d: { needs: ["a"] },
  e: {},
  f: {},
};
const document = "| package | brings |\n|---|---|\n| `a` | `c`, `d` |\n| `@s/b` | |\n| `f` | |\n";

test("packages that are locked by hash and described have no problems", () => {
  expect(findDependencyProblems(manifest, formatLock(lock), document)).toEqual([]);
});

test("a package without a hash is named, also one for another platform", () => {
  const damaged = { ...lock, e: { hash: "" }, "a-linux": { os: "linux", hash: "sha1-abc" } };
  const problems = findDependencyProblems(manifest, formatLock(damaged), document);
  expect(problems).toEqual(["bun.lock has no SHA-512 for a-linux", "bun.lock has no SHA-512 for e"]);
});

test("a version that is not locked is named", () => {
  const newer = { ...manifest, dependencies: { a: "1.0.1" } };
  const problems = findDependencyProblems(newer, formatLock(lock), document);
  expect(problems).toEqual(["bun.lock does not contain a 1.0.1: run `bun install`"]);
});

test("a package without a row, and a row without a package, are named", () => {
  const other = document.replace("@s/b", "@s/other");
  expect(findDependencyProblems(manifest, formatLock(lock), other)).toEqual([
    "docs/dependencies.md has 0 rows for @s/b (expected 1)",
    "docs/dependencies.md describes @s/other, which package.json does not list",
  ]);
});

test("a row that lists too few or too many packages is named", () => {
  const stale = document.replace("`d`", "`e`");
  expect(findDependencyProblems(manifest, formatLock(lock), stale)).toEqual([
    "docs/dependencies.md does not list that a brings d",
    "docs/dependencies.md lists that a brings e, which it does not",
  ]);
});

test("packages that share a row are described together", () => {
  const shared = "| package | brings |\n|---|---|\n| `a`, `@s/b`, `f` | `c`, `d` |\n";
  expect(findDependencyProblems(manifest, formatLock(lock), shared)).toEqual([]);
});
