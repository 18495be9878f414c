import type { SourceFile } from "./source-scan.ts";

/** Returns one line per cycle of imports. Imports of types count, since they couple files just as well. */
export function findImportCycles(files: readonly SourceFile[]): string[] {
  const targetsOf = new Map(
    files.map(({ path, imports }) => [
      path,
      imports.filter(({ isOurs }) => isOurs).map(({ target }) => target),
    ]),
  );
  const finished = new Set<string>();
  const trail: string[] = [];
  const cycles: string[] = [];

  function visit(path: string): void {
    const start = trail.indexOf(path);
    if (start >= 0) cycles.push(formatCycle([...trail.slice(start), path]));
    if (start >= 0 || finished.has(path)) return;
    trail.push(path);
    for (const target of targetsOf.get(path) ?? []) visit(target);
    trail.pop();
    finished.add(path);
  }

  for (const path of targetsOf.keys()) visit(path);
  return cycles;
}

const formatCycle = (paths: readonly string[]) =>
  `import cycle: ${paths.map((path) => `src/${path}`).join(" -> ")}`;
