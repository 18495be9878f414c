import { readFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";

export interface Import {
  /** A path from the scanned folder (`specs/feed.ts`; `../package.json` is outside), or a package with its subpath. */
  readonly target: string;
  readonly isOurs: boolean;
  readonly isTypeOnly: boolean;
  /** The imported names as the target exports them; undefined if the import may use any name of the target. */
  readonly names: readonly string[] | undefined;
}

export interface Declaration {
  readonly name: string;
  readonly kind: "class" | "interface" | "type" | "value";
}

export interface SourceFile {
  /** From the scanned folder, with forward slashes. */
  readonly path: string;
  readonly imports: readonly Import[];
  /** What the file declares and exports. Re-exports are imports. */
  readonly exports: readonly Declaration[];
  readonly readsEnvironment: boolean;
  /** What only one runtime has, or has in another way, as the file names it: `Bun.`, `bun:ffi`, `Deno.`, `new Worker(`. */
  readonly runtimeNames: readonly string[];
}

// Regular expressions instead of Bun.Transpiler, which drops imports of types: the import rules apply to those as well.
// They rely on the formatter, which starts every statement on a line of its own.
const IMPORTS_OF_NAMES = [
  /^(?:import|export)\b(?<type>\s+type\b)?(?<clause>[^"';]*?)\bfrom\s*["'](?<from>[^"']+)["']/gm,
  /(?:\{(?<clause>[^{}]*)\}\s*=\s*await\s+)?\bimport\(\s*["'](?<from>[^"']+)["']\s*\)(?:\.(?<member>[A-Z]\w*))?/gm,
];
/** Side effects, and Workers. */
const IMPORTS_WITHOUT_NAMES = [
  /^import\s*["'](?<from>[^"']+)["']/gm,
  /\bnew URL\(\s*["'](?<from>\.[^"']+)["'],\s*import\.meta\.url/gm,
];
const DECLARATION =
  /^export\s+(?:declare\s+)?(?:async\s+)?(?:abstract\s+)?(?<keyword>function\*?|class|interface|type|const|let|enum)\s+(?<name>[\w$]+)/gm;
const COMMENT = /^\s*(?:\/\/.*|\/\*[\s\S]*?\*\/)/gm;

const ENVIRONMENT = [
  /\bprocess\??\.env\b|\bprocess\[["']env["']\]|\bBun\.env\b|\bimport\.meta\.env\b/,
  /\{[^{}]*\benv\b[^{}]*\}\s*=\s*(?:process|Bun)\b/,
  /^import\s*\{[^{}]*\benv\b[^{}]*\}\s*from\s*["'](?:node:process|bun)["']/m,
];

/** `from "bun"`, an import type of it, the global objects, and functions that differ between runtimes. */
const RUNTIME_NAMES = [
  /["'`](?<name>bun(?::[\w-]+)?)["'`]/g,
  /(?<![\w$#"'`])(?<name>Bun|Deno)(?![\w$"'`])/g,
  /\b(?:globalThis|self)(?:\?\.)?\[["'`](?<name>Bun|Deno)\b/g,
  /\bprocess\.versions\??\.(?<name>bun|deno)\b/g,
  /\bnew (?:globalThis\.|self\.)?(?<name>Worker)\b/g,
  /(?:(?<![\w$.#]|async )|\b(?:globalThis|self)\.)(?<name>fetch)\(/g,
];

/** The prefix of files that exist once for each runtime. package.json and deno.json name the folder of each. */
const BY_RUNTIME = "#runtime/";
const RUNTIME_FOLDERS = ["platform/runtime/bun", "platform/runtime/deno"];

/** Scans every TypeScript file and ES module below `folder`, sorted by path. */
export async function scanSources(folder: string): Promise<SourceFile[]> {
  const paths = await Array.fromAsync(new Bun.Glob("**/*.{ts,mjs}").scan({ cwd: folder }));
  return Promise.all(
    paths.sort().map(async (path) => scan(path, await readFile(join(folder, path), "utf8"))),
  );
}

function scan(path: string, source: string): SourceFile {
  const code = source.replace(COMMENT, "");
  const match = <T>(patterns: readonly RegExp[], read: (groups: Groups) => T) =>
    patterns.flatMap((pattern) => Array.from(code.matchAll(pattern), ({ groups = {} }) => read(groups)));
  return {
    path,
    imports: [
      ...match(IMPORTS_OF_NAMES, ({ clause, member, ...groups }) =>
        readImport(path, groups, member === undefined ? readNames(clause) : [member]),
      ),
      ...match(IMPORTS_WITHOUT_NAMES, (groups) => readImport(path, groups, [])),
    ].flat(),
    exports: match([DECLARATION], readDeclaration),
    readsEnvironment: ENVIRONMENT.some((pattern) => pattern.test(code)),
    runtimeNames: match(RUNTIME_NAMES, ({ name = "" }) => name),
  };
}

type Groups = Readonly<Record<string, string | undefined>>;

/** A file that exists once for each runtime is imported on each of them. */
function readImport(path: string, { from = "", type }: Groups, names: Import["names"]): readonly Import[] {
  const isByRuntime = from.startsWith(BY_RUNTIME);
  const isOurs = isByRuntime || from.startsWith(".");
  const targets = isByRuntime
    ? RUNTIME_FOLDERS.map((folder) => posix.join(folder, from.slice(BY_RUNTIME.length)))
    : [isOurs ? posix.join(dirname(path), from) : from];
  return targets.map((target) => ({ target, isOurs, isTypeOnly: type !== undefined, names }));
}

/** Reads `{ a, type B, c as d }`, or `{ a: b }` of a destructured `await import(…)`. */
function readNames(clause: string | undefined): readonly string[] | undefined {
  const list = /^[^*]*?\{([^{}]*)\}|^([^*{}]+)$/.exec(clause?.trim() ?? "");
  if (list === null) return undefined;
  const parts = (list[1] ?? list[2] ?? "").split(",").map((part) => part.trim());
  return parts.flatMap((part) => /^(?:type\s+)?([\w$]+)/.exec(part)?.[1] ?? []);
}

function readDeclaration({ keyword = "", name = "" }: Groups): Declaration {
  const kind = keyword === "class" || keyword === "interface" || keyword === "type" ? keyword : "value";
  return { name, kind };
}
