import { join } from "node:path";
import { findImportCycles } from "./import-cycles.ts";
import {
  environmentReaders,
  folderRules,
  importersOf,
  oneFileIn,
  packageFences,
  runtimeFolders,
} from "./import-table.ts";
import { type Import, type SourceFile, scanSources } from "./source-scan.ts";

/** Checks the folder `src` against import-table.ts. Returns one line per violation, which names what is allowed. */
export async function findImportProblems(src: string): Promise<string[]> {
  const files = await scanSources(src);
  return [...files.flatMap(checkFile), ...checkSingleImporter(files), ...findImportCycles(files)];
}

function checkFile(file: SourceFile): string[] {
  const problems = file.imports.flatMap((entry) => {
    const allowed = entry.isOurs ? checkOurs(file.path, entry) : checkPackage(file.path, entry.target);
    return allowed === undefined ? [] : [`src/${file.path} imports ${formatTarget(entry)}: ${allowed}`];
  });
  if (file.readsEnvironment && !environmentReaders.includes(file.path)) {
    problems.push(`src/${file.path} reads the environment: only ${environmentReaders.join(", ")} may`);
  }
  return [...problems, ...checkRuntimeNames(file)];
}

/** Everything else runs on each runtime. */
function checkRuntimeNames({ path, runtimeNames }: SourceFile): string[] {
  return [...new Set(runtimeNames)].flatMap((name) => {
    const folders = runtimeFolders.filter(({ has }) => has.test(name)).map(({ folder }) => folder);
    const isAllowed = folders.some((folder) => path.startsWith(folder));
    return isAllowed ? [] : [`src/${path} uses ${name}: only ${folders.join(", ")} may`];
  });
}

function checkOurs(from: string, { target, isTypeOnly }: Import): string | undefined {
  if (target === "../package.json") return undefined;
  if (target.startsWith("../")) return "src imports nothing outside src";
  const [fromArea, toArea] = [areaOf(from), areaOf(target)];
  const importers = importersOf[target];
  if (importers !== undefined) {
    return importers.includes(from) ? undefined : `only ${importers.join(", ") || "no file"} may`;
  }
  if (isRootFile(from) || fromArea === toArea) return undefined;
  const rule = folderRules[fromArea];
  if (rule === undefined) return `the folder ${fromArea} is not in scripts/checks/import-table.ts`;
  const { may, mayTypes = [] } = rule;
  if (may.includes(toArea) || (isTypeOnly && mayTypes.includes(toArea))) return undefined;
  const types = mayTypes.length > 0 ? `, and types of ${mayTypes.join(", ")}` : "";
  return `${fromArea} may import ${may.join(", ") || "nothing of ours"}${types}`;
}

function checkPackage(from: string, name: string): string | undefined {
  const fences = Object.keys(packageFences).filter((fence) => isWithin(name, fence));
  const fence = fences.sort((a, b) => b.length - a.length)[0];
  const allowed = fence === undefined ? undefined : packageFences[fence];
  if (allowed === undefined || allowed.includes(areaOf(from)) || allowed.includes(from)) return undefined;
  return `only ${allowed.join(", ")} may import ${fence}`;
}

function checkSingleImporter(files: readonly SourceFile[]): string[] {
  const { folder, mayImport } = oneFileIn;
  const crosses = ({ target, isOurs }: Import) =>
    mayImport.some((name) => (isOurs ? areaOf(target) === name : isWithin(target, name)));
  const importers = files.filter(({ path, imports }) => areaOf(path) === folder && imports.some(crosses));
  if (importers.length < 2) return [];
  const names = importers.map(({ path }) => `src/${path}`).join(", ");
  return [`${names} import ${mayImport.join(" or ")}: only one file in ${folder} may`];
}

const isRootFile = (path: string) => !path.includes("/");
const areaOf = (path: string) =>
  isRootFile(path) ? path.replace(/\.ts$/, "") : path.slice(0, path.indexOf("/"));
const isWithin = (name: string, fence: string) =>
  name === fence || name.startsWith(fence.endsWith("/") ? fence : `${fence}/`);
const formatTarget = ({ target, isOurs }: Import) => (isOurs ? join("src", target) : target);
