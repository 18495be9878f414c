import { join } from "node:path";
import { root } from "./command.ts";
import { type LockedPackage, readLock } from "./lock-file.ts";

/** What package.json says of what it needs. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const DOCUMENT = "docs/dependencies.md";

/** Whether each package is locked by its hash, and docs/dependencies.md tells of each and what comes with it. */
export async function dependenciesAreLockedAndDescribed(): Promise<boolean> {
  const [manifest, lock, document] = await Promise.all([
    Bun.file(join(root, "package.json")).json() as Promise<Manifest>,
    Bun.file(join(root, "bun.lock")).text(),
    Bun.file(join(root, DOCUMENT)).text(),
  ]);
  const problems = dependencyProblems(manifest, lock, document);
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

/** One line a breach; none when all is well. */
export function dependencyProblems(manifest: Manifest, lockText: string, document: string): string[] {
  const lock = readLock(lockText);
  const rows = readRows(document);
  const versions = { ...manifest.dependencies, ...manifest.devDependencies };
  return [
    ...lock.packages.flatMap(hashProblem),
    ...Object.entries(versions).flatMap(([name, version]) =>
      lock.has(`${name}@${version}`)
        ? []
        : [`bun.lock does not hold ${name} ${version}: run \`bun install\``],
    ),
    ...Object.keys(versions).flatMap((name) => {
      const count = rows.filter(({ packages }) => packages.includes(name)).length;
      return count === 1 ? [] : [`${DOCUMENT} has ${count} rows of ${name}, it must have one`];
    }),
    ...rows.flatMap((row) => rowProblems(row, versions, lock.broughtBy(row.packages))),
  ];
}

function hashProblem({ path, integrity }: LockedPackage): string[] {
  return /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity) ? [] : [`bun.lock has no SHA-512 of ${path}`];
}

interface Row {
  readonly packages: readonly string[];
  /** What the last cell says that comes with them. */
  readonly brings: readonly string[];
}

function rowProblems(
  { packages, brings }: Row,
  versions: Readonly<Record<string, string>>,
  actual: readonly string[],
): string[] {
  const shown = packages.join(", ");
  const of = (names: readonly string[]) => names.join(", ");
  const gone = packages.filter((name) => !(name in versions));
  const missing = actual.filter((name) => !brings.includes(name));
  const extra = brings.filter((name) => !actual.includes(name));
  return [
    ...(gone.length > 0 ? [`${DOCUMENT} tells of ${of(gone)}, which package.json does not name`] : []),
    ...(missing.length > 0 ? [`${DOCUMENT} does not say that ${shown} brings ${of(missing)}`] : []),
    ...(extra.length > 0 ? [`${DOCUMENT} says that ${shown} brings ${of(extra)}: it does not`] : []),
  ];
}

/** Rows of tables: packages in the first cell, what they bring in the last, each in backticks. */
function readRows(document: string): Row[] {
  const namesIn = (cell = "") => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
  return document.split("\n").flatMap((line) => {
    const cells = line.split("|").slice(1, -1);
    const packages = namesIn(cells[0]);
    return packages.length === 0 ? [] : [{ packages, brings: namesIn(cells.at(-1)) }];
  });
}
