import { join } from "node:path";
import { root } from "./command.ts";
import { importCycles } from "./import-cycles.ts";
import { type Import, type SourceFile, scanSources } from "./import-scan.ts";
import { environmentReaders, folderRules, importersOf, oneFileIn, packageFences } from "./import-table.ts";

/** Whether src/ keeps to the table of imports; says which file does not, and what is allowed. */
export async function importsFollowTheRules(): Promise<boolean> {
  const problems = await importProblems(join(root, "src"));
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

/** One line a breach, sorted by file; none when all is well. */
export async function importProblems(src: string): Promise<string[]> {
  const files = await scanSources(src);
  return [...files.flatMap(problemsOf), ...crowdedDoor(files), ...importCycles(files)];
}

function problemsOf(file: SourceFile): string[] {
  const problems = file.imports.flatMap((entry) => {
    const allowed = entry.isOurs ? ourProblem(file.path, entry) : packageProblem(file.path, entry.target);
    return allowed === undefined ? [] : [`src/${file.path} imports ${shown(entry)}: ${allowed}`];
  });
  if (file.readsEnvironment && !environmentReaders.includes(file.path)) {
    problems.push(`src/${file.path} reads the environment: only ${environmentReaders.join(", ")} may`);
  }
  return problems;
}

function ourProblem(from: string, { target, isTypeOnly }: Import): string | undefined {
  if (target === "../package.json") return undefined;
  if (target.startsWith("../")) return "src imports nothing outside src";
  const [fromArea, toArea] = [areaOf(from), areaOf(target)];
  const importers = importersOf[target];
  if (importers !== undefined) {
    return importers.includes(from) ? undefined : `only ${importers.join(", ") || "nobody"} may`;
  }
  if (isRootFile(from) || fromArea === toArea) return undefined;
  const rule = folderRules[fromArea];
  if (rule === undefined) return `the folder ${fromArea} is not in scripts/import-table.ts`;
  const { may, mayTypes = [] } = rule;
  if (may.includes(toArea) || (isTypeOnly && mayTypes.includes(toArea))) return undefined;
  const types = mayTypes.length > 0 ? `, and types of ${mayTypes.join(", ")}` : "";
  return `${fromArea} may import ${may.join(", ") || "nothing of ours"}${types}`;
}

function packageProblem(from: string, name: string): string | undefined {
  const fences = Object.keys(packageFences).filter((fence) => isWithin(name, fence));
  const fence = fences.sort((a, b) => b.length - a.length)[0];
  const allowed = fence === undefined ? undefined : packageFences[fence];
  if (allowed === undefined || allowed.includes(areaOf(from)) || allowed.includes(from)) return undefined;
  return `only ${allowed.join(", ")} may import ${fence}`;
}

function crowdedDoor(files: readonly SourceFile[]): string[] {
  const { folder, mayImport } = oneFileIn;
  const passes = ({ target, isOurs }: Import) =>
    mayImport.some((name) => (isOurs ? areaOf(target) === name : isWithin(target, name)));
  const through = files.filter(({ path, imports }) => areaOf(path) === folder && imports.some(passes));
  if (through.length < 2) return [];
  const names = through.map(({ path }) => `src/${path}`).join(", ");
  return [`${names} import ${mayImport.join(" or ")}: one file in ${folder} alone may`];
}

const isRootFile = (path: string) => !path.includes("/");
const areaOf = (path: string) =>
  isRootFile(path) ? path.replace(/\.ts$/, "") : path.slice(0, path.indexOf("/"));
const isWithin = (name: string, fence: string) =>
  name === fence || name.startsWith(fence.endsWith("/") ? fence : `${fence}/`);
const shown = ({ target, isOurs }: Import) => (isOurs ? join("src", target) : target);
