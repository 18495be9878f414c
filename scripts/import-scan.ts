import { readFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";

export interface Import {
  /** A path from src/ (`specs/feed.ts`; `../package.json` lies outside), or a package with its subpath. */
  readonly target: string;
  readonly isOurs: boolean;
  readonly isTypeOnly: boolean;
}

export interface SourceFile {
  /** From src/, with forward slashes. */
  readonly path: string;
  readonly imports: readonly Import[];
  readonly readsEnvironment: boolean;
}

// Patterns and not a transpiler: Bun's drops imports of types, which must keep to the table as well. They rely
// on the formatter: a statement starts its line.
const statement = /^(?:import|export)\b(\s+type\b)?[^"';]*?\bfrom\s*["']([^"']+)["']/gm;
const sideEffect = /^import\s*()["']([^"']+)["']/gm;
const dynamic = /\bimport\(()\s*["']([^"']+)["']/gm;
const worker = /\bnew URL\(()\s*["'](\.[^"']+)["'],\s*import\.meta\.url/gm;
const comment = /^\s*(?:\/\/.*|\/\*[\s\S]*?\*\/)/gm;

const environment = [
  /\bprocess\??\.env\b|\bprocess\[["']env["']\]|\bBun\.env\b|\bimport\.meta\.env\b/,
  /\{[^{}]*\benv\b[^{}]*\}\s*=\s*(?:process|Bun)\b/,
  /^import\s*\{[^{}]*\benv\b[^{}]*\}\s*from\s*["'](?:node:process|bun)["']/m,
];

/** Every TypeScript file under `src`, sorted by path. */
export async function scanSources(src: string): Promise<SourceFile[]> {
  const paths = await Array.fromAsync(new Bun.Glob("**/*.ts").scan({ cwd: src }));
  return Promise.all(paths.sort().map(async (path) => scan(path, await readFile(join(src, path), "utf8"))));
}

function scan(path: string, source: string): SourceFile {
  const code = source.replace(comment, "");
  const imports = [statement, sideEffect, dynamic, worker].flatMap((pattern) =>
    [...code.matchAll(pattern)].map(([, type, specifier]) => resolve(path, specifier ?? "", Boolean(type))),
  );
  return { path, imports, readsEnvironment: environment.some((pattern) => pattern.test(code)) };
}

function resolve(from: string, specifier: string, isTypeOnly: boolean): Import {
  const isOurs = specifier.startsWith(".");
  const target = isOurs ? posix.join(dirname(from), specifier) : specifier;
  return { target, isOurs, isTypeOnly };
}
