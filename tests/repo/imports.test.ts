import { expect, test } from "bun:test";
import { findImportProblems } from "../../scripts/checks/imports.ts";
import { type Files, inFolder } from "../support/repo/project-folder.ts";

/** What the rules report about a src/ with these files. */
const problemsIn = (files: Files) => inFolder(files, findImportProblems);

test("imports that the table allows are no problem", async () => {
  const problems = await problemsIn({
    "platform/clock.ts": "export const clock = 1;",
    "specs/feed.ts": 'import { clock } from "../platform/clock.ts";\nexport type Feed = typeof clock;',
    "http/route.ts": 'import { Hono } from "hono";\nimport type { Feed } from "../specs/feed.ts";',
    "telemetry/log.ts": 'import type { RouteEvent } from "../http/observer.ts";',
    "relay/relay.ts": 'import "../http/route.ts";',
    "main.ts": 'import "./relay/relay.ts";\nprocess.env.PORT;',
  });
  expect(problems).toEqual([]);
});

test("an import that the table does not list is named with what is allowed", async () => {
  const problems = await problemsIn({ "upstream/x.ts": 'import {\n  y,\n} from "../redis/y.ts";' });
  expect(problems).toEqual([
    "src/upstream/x.ts imports src/redis/y.ts: upstream may import specs, log-events, id-lists, access, platform",
  ]);
});

test.each([
  ["a type", "specs/a.ts", 'import type { Y } from "../redis/y.ts";'],
  ["a type within an expression", "specs/a.ts", 'let y: import("../redis/y.ts").Y;'],
  ["a re-export", "specs/a.ts", 'export * from "../redis/y.ts";'],
  ["a dynamic import", "specs/a.ts", 'const y = await import("../redis/y.ts");'],
  ["a Worker", "specs/a.ts", 'startWorker(new URL("../redis/y-worker.ts", import.meta.url));'],
  ["a value of another folder in telemetry", "telemetry/a.ts", 'import { y } from "../redis/y.ts";'],
  ["relay/relay.ts outside main", "cli/a.ts", 'import { startRelay } from "../relay/relay.ts";'],
  ["config in a folder", "http/a.ts", 'import type { Config } from "../config/config.ts";'],
  ["another folder in platform", "platform/clock.ts", 'import "../specs/a.ts";'],
  ["a folder that the table does not know", "other/a.ts", 'import "../specs/a.ts";'],
  ["a package outside its fence", "specs/a.ts", 'import { Hono } from "hono/tiny";'],
  ["a file outside src", "specs/a.ts", 'import "../../tests/a.ts";'],
])("%s is checked against the table", async (_, path, source) => {
  expect(await problemsIn({ [path]: source })).toHaveLength(1);
});

test("a second file in http that imports gRPC is named", async () => {
  const source = 'import "../grpc/routes.ts";';
  expect(await problemsIn({ "http/a.ts": source })).toEqual([]);
  expect(await problemsIn({ "http/a.ts": source, "http/b.ts": source })).toHaveLength(1);
});

test("a cycle is named once, with every file in it", async () => {
  const problems = await problemsIn({
    "specs/a.ts": 'import "./b.ts";',
    "specs/b.ts": 'import type { C } from "./c.ts";',
    "specs/c.ts": 'export { a } from "./a.ts";',
  });
  expect(problems).toEqual([
    "import cycle: src/specs/a.ts -> src/specs/b.ts -> src/specs/c.ts -> src/specs/a.ts",
  ]);
});

test.each([
  "const port = process.env.PORT;",
  'const port = import.meta.env["PORT"];',
  "const { env } = process;",
  'import { env } from "node:process";',
])("reading the environment outside main is a problem: %s", async (source) => {
  expect(await problemsIn({ "http/a.ts": source })).toEqual([
    "src/http/a.ts reads the environment: only main.ts, platform/runtime/deno/requests.ts may",
  ]);
  expect(await problemsIn({ "main.ts": source, "http/b.ts": `// ${source}` })).toEqual([]);
});

test.each([
  ["Bun", "const listener = Bun.listen({});"],
  ["Bun", "type Listener = Bun.TCPSocketListener;"],
  ["Bun", "const { gc } = Bun;"],
  ["Bun", "Bun?.gc(true);"],
  ["Bun", 'const listen = Bun["listen"];'],
  ["Bun", 'const isBun = typeof Bun !== "undefined";'],
  ["Bun", "const { listen } = globalThis.Bun;"],
  ["Bun", 'const { listen } = globalThis["Bun"];'],
  ["bun", "const isBun = process.versions.bun !== undefined;"],
  ["bun:ffi", 'import { dlopen } from "bun:ffi";'],
  ["bun", 'const { serve } = await import("bun");'],
  ["bun:jsc", "const { gcAndSweep } = await import(`bun:jsc`);"],
])("what Bun alone has is a problem outside its folder: %s in %s", async (name, source) => {
  const folder = "platform/runtime/bun/";
  expect(await problemsIn({ "http/a.ts": source })).toEqual([
    `src/http/a.ts uses ${name}: only ${folder} may`,
  ]);
  expect(await problemsIn({ [`${folder}a.ts`]: source, "http/b.ts": `// ${source}` })).toEqual([]);
  expect(await problemsIn({ "platform/runtime/deno/a.ts": source })).toHaveLength(1);
});

test("what Deno alone has is a problem outside its folder", async () => {
  const source = "const listener = Deno.listen({});";
  const folder = "platform/runtime/deno/";
  expect(await problemsIn({ "http/a.ts": source })).toEqual([`src/http/a.ts uses Deno: only ${folder} may`]);
  expect(await problemsIn({ [`${folder}a.ts`]: source })).toEqual([]);
});

test.each([
  ["Worker", 'new Worker(new URL("./a-worker.ts", import.meta.url));'],
  ["Worker", "new globalThis.Worker(url);"],
  ["fetch", "const response = await fetch(url);"],
  ["fetch", "return globalThis.fetch(url);"],
])("only the folders of the runtimes may use what differs between them: %s in %s", async (name, source) => {
  const folders = ["platform/runtime/bun/", "platform/runtime/deno/"];
  expect(await problemsIn({ "http/a.ts": source })).toEqual([
    `src/http/a.ts uses ${name}: only ${folders.join(", ")} may`,
  ]);
  for (const folder of folders) expect(await problemsIn({ [`${folder}a.ts`]: source })).toEqual([]);
});

test.each([
  "const response = await app.fetch(request);",
  "class Specs { async fetch(request: Request) {} }",
  "class Specs { #fetch(request: Request) {} }",
  'const name = { bun_version: runtime === "Bun" };',
])("other uses of such a name are none: %s", async (source) => {
  expect(await problemsIn({ "http/a.ts": source })).toEqual([]);
});

test("an import of a file of the runtime is one of the file of each runtime", async () => {
  const problems = await problemsIn({
    "platform/a.ts": 'import { b } from "#runtime/b.ts";',
    "platform/runtime/bun/b.ts": "export const b = 1;",
    "platform/runtime/deno/b.ts": 'import "../../a.ts";\nexport const b = 1;',
    "gen/c.ts": 'import { b } from "#runtime/b.ts";',
  });
  expect(problems).toEqual([
    "src/gen/c.ts imports src/platform/runtime/bun/b.ts: gen may import nothing of ours",
    "src/gen/c.ts imports src/platform/runtime/deno/b.ts: gen may import nothing of ours",
    expect.stringContaining("import cycle: "),
  ]);
});
