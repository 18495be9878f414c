import { describe, expect, test } from "bun:test";
import { findProseProblems } from "../../scripts/checks/prose.ts";
import { findProseInSource } from "../../scripts/checks/source-prose.ts";
import { inFolder } from "../support/repo/project-folder.ts";

/** Returns what the check reports about a file with this text. */
const problemsIn = (text: string, path = "src/specs/a.ts") => inFolder({ [path]: text }, findProseProblems);

describe("a banned phrase is named with its line and what to write instead", () => {
  test.each([
    ["src/specs/a.ts", "const a = 1;\n/** Undefined where the key is unknown. */"],
    ["src/specs/a.ts", 'const a = 1;\nlog("Undefined where it is");'],
    ["scripts/a.mjs", `const a = 1;\nconst b = \`\${a} Undefined where\`;`],
    ["tests/a.test.ts", "const a = 1;\n// Undefined\n//   where the key is unknown."],
    ["benchmarks/a.ts", "const a = 1;\n/* Undefined where it is. */"],
    ["docs/redis.md", "# A\nUndefined where it is"],
    ["deploy/a.yaml", "a:\n  # Undefined where it is"],
  ])("in %s: %j", async (path, text) => {
    expect(await problemsIn(text, path)).toEqual([
      `${path}:2: "Undefined where": write Returns undefined if`,
    ]);
  });

  test("on its own line of a long comment", async () => {
    expect(await problemsIn("/**\n * Starts the poll.\n *\n * It begins\n * anew.\n */")).toEqual([
      'src/specs/a.ts:5: "anew": write again',
    ]);
  });
});

test.each([
  "/** Of the process. */",
  "/** By name. */",
  "/** Of all rows, as they are stored. */",
  "/** With a status of 400 or more. */",
  "// the URL is none",
  "// after so many requests",
  "// kept for so long",
  "// as many are open as may be",
  "// whoever asks",
  "// the next one goes on",
  "// the option goes before the variable",
  "// the caller is told",
  "// it tells which",
  "// strangers",
  "// to be mended",
  '// "Redis takes no writes"',
  "// the key made room",
  "// the largest, of which",
])("a phrase is found: %s", async (text) => {
  expect(await problemsIn(text)).toHaveLength(1);
});

test.each([
  "/** With TLS, the port speaks HTTP/2. */",
  "/** By default, the key is masked. */",
  "/** Returns what is left. By name. */",
  "// By name.",
  "// if there is none",
  "// there are so many that it takes as long as it takes",
  "// so long as it runs",
  "// a denial of service; a recommendation; a dashboard; an onboarding",
  "const anew = nobody;",
  "const pattern = /told|anew/;",
  "const half = a / told / 2;",
])("plain English and code pass: %s", async (text) => {
  expect(await problemsIn(text)).toEqual([]);
});

test("strings of tests and benchmarks, and code in documents, are not searched", async () => {
  expect(await problemsIn('test("is told", () => {});', "tests/a.test.ts")).toEqual([]);
  expect(await problemsIn('console.log("told");', "benchmarks/a.ts")).toEqual([]);
  expect(await problemsIn("Run `nobody`:\n\n```sh\ntold\n```\n", "docs/redis.md")).toEqual([]);
});

describe("comments and strings of source code", () => {
  const textsIn = (source: string) => findProseInSource(source).map(({ text }) => text.trim());

  test("are distinguished from code that looks like them", () => {
    expect(textsIn(`const a = "// no" + '/* no */'; // yes`)).toEqual(["// no", "/* no */", "yes"]);
    expect(textsIn('const a = /"/.test(b) ? c / d : e / /[/"]/u; // yes')).toEqual(["yes"]);
    expect(textsIn(`f(\`a \${b ? \`"\${"}"}\` : {}} // no\`); // yes`)).toEqual(["a … // no", "yes"]);
    expect(textsIn('const a = "\\"// no"; // yes')).toEqual(['\\"// no', "yes"]);
  });

  test("are joined over lines", () => {
    expect(textsIn("a();\n// one\n// two\n\n// three")).toEqual(["one\n two", "three"]);
    expect(findProseInSource("`\n`;\n\n/**\n * one\n * two\n */")).toEqual([
      { kind: "string", text: "\n", line: 1 },
      { kind: "docstring", text: "\n one\n two\n", line: 4 },
    ]);
  });
});
