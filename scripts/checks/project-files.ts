import { join } from "node:path";

/** Folders and files of the project that people write, in contrast to packages and build output. */
const PATTERNS = [
  "*.md",
  "Dockerfile",
  ".github/**/*.yml",
  "{src,tests,scripts,benchmarks,examples}/**/*.{ts,mjs}",
  "{docs,deploy}/**/*.{md,yaml,tpl,txt,json,service}",
  "proto/**/*.proto",
];

export interface ProjectFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Reads the text files of the project at `root`, sorted by path. src/gen is omitted, since it repeats proto/. */
export async function readProjectFiles(root: string): Promise<ProjectFile[]> {
  const scans = PATTERNS.map((pattern) =>
    Array.fromAsync(new Bun.Glob(pattern).scan({ cwd: root, dot: true })),
  );
  const paths = (await Promise.all(scans)).flat().filter((path) => !path.startsWith("src/gen/"));
  return await Promise.all(
    paths.sort().map(async (path) => ({ path, text: await Bun.file(join(root, path)).text() })),
  );
}
