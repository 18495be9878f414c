import { posix } from "node:path";
import { type SourceFile, scanSources } from "./source-scan.ts";

const ROOT_FILES = ["main.ts", "version.ts"];
const MAX_FILES = 20;

/** Generated code: its layout and its names are those of proto/. */
const GENERATED = "gen/";

/**
 * Checks the folder `src`: which files are at its root, how many files a folder has, and that no two exported types,
 * interfaces or classes have the same name. Returns one line per violation.
 */
export async function findLayoutProblems(src: string): Promise<string[]> {
  const files = (await scanSources(src)).filter(({ path }) => !path.startsWith(GENERATED));
  return [...findRootFiles(files), ...findLargeFolders(files), ...findDuplicateTypes(files)];
}

function findRootFiles(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => !path.includes("/") && !ROOT_FILES.includes(path))
    .map(
      ({ path }) =>
        `src/${path}: only ${ROOT_FILES.join(" and ")} may be at the root of src, move it to a folder`,
    );
}

function findLargeFolders(files: readonly SourceFile[]): string[] {
  const folders = Map.groupBy(files, ({ path }) => posix.dirname(path));
  return Array.from(folders)
    .filter(([, inFolder]) => inFolder.length > MAX_FILES)
    .map(
      ([folder, { length }]) => `src/${folder} has ${length} files (expected at most ${MAX_FILES}): split it`,
    );
}

function findDuplicateTypes(files: readonly SourceFile[]): string[] {
  const types = files.flatMap(({ path, exports }) =>
    exports.filter(({ kind }) => kind !== "value").map(({ name }) => ({ name, path })),
  );
  return Array.from(Map.groupBy(types, ({ name }) => name))
    .filter(([, places]) => places.length > 1)
    .map(([name, places]) => {
      const paths = places.map(({ path }) => `src/${path}`);
      return `${paths.join(" and ")} export a type named ${name}: rename all but one`;
    });
}
