import type { SourceFile } from "./import-scan.ts";

/** Each ring of files that import one another, named once. Types count: a ring of them ties files just as well. */
export function importCycles(files: readonly SourceFile[]): string[] {
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
    if (start >= 0) cycles.push(described([...trail.slice(start), path]));
    if (start >= 0 || finished.has(path)) return;
    trail.push(path);
    for (const target of targetsOf.get(path) ?? []) visit(target);
    trail.pop();
    finished.add(path);
  }

  for (const path of targetsOf.keys()) visit(path);
  return cycles;
}

const described = (ring: readonly string[]) =>
  `import cycle: ${ring.map((path) => `src/${path}`).join(" -> ")}`;
