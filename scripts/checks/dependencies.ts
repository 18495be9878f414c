import { join } from "node:path";
import { root } from "../command.ts";
import { type LockedPackage, readLock } from "../install/bun-lock.ts";

/** The fields of package.json that declare dependencies. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const DOCUMENT = "docs/dependencies.md";

/** Checks package.json, bun.lock and docs/dependencies.md of this project. See {@link findDependencyProblems}. */
export async function checkDependencies(): Promise<string[]> {
  const [manifest, lock, document] = await Promise.all([
    Bun.file(join(root, "package.json")).json() as Promise<Manifest>,
    Bun.file(join(root, "bun.lock")).text(),
    Bun.file(join(root, DOCUMENT)).text(),
  ]);
  return findDependencyProblems(manifest, lock, document);
}

/**
 * Checks that every package is locked by its SHA-512, and that the document has a row for every dependency that lists the
 * packages it brings. Returns one line per violation.
 */
export function findDependencyProblems(manifest: Manifest, lockText: string, document: string): string[] {
  const lock = readLock(lockText);
  const rows = readRows(document);
  const { dependencies, devDependencies, optionalDependencies } = manifest;
  const versions = { ...dependencies, ...devDependencies, ...optionalDependencies };
  return [
    ...lock.packages.flatMap(checkHash),
    ...Object.entries(versions).flatMap(([name, version]) =>
      lock.has(`${name}@${version}`)
        ? []
        : [`bun.lock does not contain ${name} ${version}: run \`bun install\``],
    ),
    ...Object.keys(versions).flatMap((name) => {
      const count = rows.filter(({ packages }) => packages.includes(name)).length;
      return count === 1 ? [] : [`${DOCUMENT} has ${count} rows for ${name} (expected 1)`];
    }),
    ...rows.flatMap((row) => checkRow(row, versions, lock.findTransitive(row.packages))),
  ];
}

function checkHash({ path, integrity }: LockedPackage): string[] {
  return /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity) ? [] : [`bun.lock has no SHA-512 for ${path}`];
}

interface Row {
  readonly packages: readonly string[];
  /** The transitive dependencies that the last cell lists. */
  readonly brings: readonly string[];
}

function checkRow(
  { packages, brings }: Row,
  versions: Readonly<Record<string, string>>,
  actual: readonly string[],
): string[] {
  const shown = packages.join(", ");
  const gone = packages.filter((name) => !(name in versions));
  const missing = actual.filter((name) => !brings.includes(name));
  const extra = brings.filter((name) => !actual.includes(name));
  return [
    ...(gone.length > 0
      ? [`${DOCUMENT} describes ${gone.join(", ")}, which package.json does not list`]
      : []),
    ...(missing.length > 0 ? [`${DOCUMENT} does not list that ${shown} brings ${missing.join(", ")}`] : []),
    ...(extra.length > 0
      ? [`${DOCUMENT} lists that ${shown} brings ${extra.join(", ")}, which it does not`]
      : []),
  ];
}

/** Reads the rows of all tables: packages in the first cell, what they bring in the last, each name in backticks. */
function readRows(document: string): Row[] {
  const namesIn = (cell = "") => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
  return document.split("\n").flatMap((line) => {
    const cells = line.split("|").slice(1, -1);
    const packages = namesIn(cells[0]);
    return packages.length === 0 ? [] : [{ packages, brings: namesIn(cells.at(-1)) }];
  });
}
