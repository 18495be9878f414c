import { join, posix } from "node:path";
import { type SourceFile, scanSources } from "./source-scan.ts";

const FOLDERS = ["src", "tests", "benchmarks", "scripts", "examples"];

/** Generated code exports more than the relay uses. */
const GENERATED = "src/gen/";

/** Returns one line per exported name of `src` that no other file of the project at `root` imports. */
export async function findUnusedExports(root: string): Promise<string[]> {
  const files = (await Promise.all(FOLDERS.map((folder) => scanFolder(root, folder)))).flat();
  const used = new Set(files.flatMap(listUses));
  return files
    .filter(({ path }) => path.startsWith("src/") && !path.startsWith(GENERATED))
    .flatMap(({ path, exports }) =>
      exports
        .filter(({ name }) => !used.has(`${path} ${name}`) && !used.has(`${path} *`))
        .map(
          ({ name }) =>
            `${path} exports ${name}, which no other file imports: remove \`export\`, or the code`,
        ),
    );
}

/** Scans a folder of the project. Paths and targets are from the project's root. */
async function scanFolder(root: string, folder: string): Promise<SourceFile[]> {
  const files = await scanSources(join(root, folder)).catch(() => []);
  return files.map((file) => ({
    ...file,
    path: `${folder}/${file.path}`,
    imports: file.imports.map((entry) => ({ ...entry, target: posix.join(folder, entry.target) })),
  }));
}

/** Lists what a file imports as `<path> <name>`, or `<path> *` if it may use every name. */
function listUses({ imports }: SourceFile): string[] {
  return imports
    .filter(({ isOurs }) => isOurs)
    .flatMap(({ target, names }) => (names ?? ["*"]).map((name) => `${target} ${name}`));
}
