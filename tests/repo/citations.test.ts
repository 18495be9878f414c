import { describe, expect, test } from "bun:test";
import { findCitationProblems } from "../../scripts/checks/citations.ts";
import { type Files, inFolder } from "../support/repo/project-folder.ts";

const problemsIn = (files: Files) => inFolder(files, findCitationProblems);

/** The check also reads this file: the name of a document that does not exist must not be in it. */
const GONE = ["docs", "gone.md"].join("/");

const guide = `# The guide

## How \`--mode\` & [TLS](/docs/tls.md) work, in \`a_b\`

## Twice

## Twice

<a id="explicit"></a>

\`\`\`sh
# not a heading
[not a link](nowhere)
\`\`\`
`;
const project = {
  "deploy/guide.md": guide,
  "docs/tls.md": "# TLS",
  "README.md": "# Relay",
  "deploy/a.yaml": "",
};

describe("links of documents", () => {
  test.each([
    "[a document](deploy/guide.md), [a folder](docs), [a file](deploy/a.yaml)",
    "[anchors](deploy/guide.md#the-guide) [with code](deploy/guide.md#how---mode--tls-work-in-a_b)",
    "[repeated](deploy/guide.md#twice) [again](deploy/guide.md#twice-1) [explicit](deploy/guide.md#explicit)",
    "[its own anchor](#relay) and [a definition][x]\n\n[x]: deploy/guide.md#twice",
    "[elsewhere](https://example.com/docs/none.md) [mail](mailto:a@example.com)",
    "`[in code](nowhere)`",
    '[with a title](deploy/guide.md "Title") [over\nlines](docs/tls.md)',
  ])("resolve: %s", async (text) => {
    expect(await problemsIn({ ...project, "README.md": `# Relay\n\n${text}\n` })).toEqual([]);
  });

  test.each([
    ["[a](gone.txt)", "README.md:3: gone.txt does not exist"],
    ["\n[a](docs/gone)", "README.md:4: docs/gone does not exist"],
    ["[a](deploy/guide.md#three)", "README.md:3: deploy/guide.md has no heading for #three"],
    ["[a](deploy/guide.md#not-a-heading)", "README.md:3: deploy/guide.md has no heading for #not-a-heading"],
    ["[a](#gone)", "README.md:3: README.md has no heading for #gone"],
    ["[x]: gone", "README.md:3: gone does not exist"],
  ])("that do not resolve are named: %s", async (text, problem) => {
    expect(await problemsIn({ ...project, "README.md": `# Relay\n\n${text}\n` })).toEqual([problem]);
  });

  test("resolve from the folder of their document", async () => {
    const text = "[a](/docs/tls.md) [b](../README.md) [c](guide.md) [d](docs/tls.md)";
    expect(await problemsIn({ ...project, "deploy/guide.md": text })).toEqual([
      "deploy/guide.md:1: docs/tls.md does not exist",
    ]);
  });
});

describe("documents that a file cites", () => {
  test.each([
    ["src/specs/a.ts", `// See docs/tls.md#${"tls"}, tls.md and README.md.`],
    ["docs/tls.md", "See tls.md and `../README.md`."],
    ["deploy/helm/templates/a.yaml", "# https://example.com/docs/none.md and docs/tls.md"],
    ["tests/a.test.ts", `read(\`\${folder}/${GONE}\`)`],
  ])("exist: %s", async (path, text) => {
    expect(await problemsIn({ ...project, [path]: text })).toEqual([]);
  });

  test.each([
    "src/a.ts",
    "tests/a.test.ts",
    "scripts/a.mjs",
    "benchmarks/a.ts",
    "docs/tls.md",
    "proto/a.proto",
  ])("are named if they do not exist: %s", async (path) => {
    const problems = await problemsIn({ ...project, [path]: `\n// See ${GONE}.` });
    expect(problems).toEqual([`${path}:2: ${GONE} does not exist`]);
  });

  test("are named if they lack the heading", async () => {
    const text = `/** See docs/tls.md#${"none"}. */`;
    expect(await problemsIn({ ...project, "src/specs/a.ts": text })).toEqual([
      "src/specs/a.ts:1: docs/tls.md has no heading for #none",
    ]);
  });

  test("are not sections of a document that does not exist", async () => {
    expect(await problemsIn({ ...project, "src/specs/a.ts": `// As WIRE ${3} says.` })).toEqual([
      "src/specs/a.ts:1: WIRE is not a document, cite docs/protocol.md",
    ]);
  });
});
