/** A package of bun.lock. */
export interface LockedPackage {
  /** Where it is installed: `a` in node_modules, `a/b` in the node_modules of `a`. */
  readonly path: string;
  /** `name@version`. */
  readonly id: string;
  /** Empty if bun.lock has no hash for it. */
  readonly integrity: string;
  /** Names of its dependencies, optional ones included. They are not always locked. */
  readonly needs: readonly string[];
  /** Whether it is a binary for one platform. */
  readonly isForOnePlatform: boolean;
}

interface Meta {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly os?: unknown;
  readonly cpu?: unknown;
}

/** The contents of bun.lock. */
export interface Lock {
  readonly packages: readonly LockedPackage[];
  has(id: string): boolean;
  /** Returns the dependencies of a package, as module resolution finds them. */
  findDependencies(each: LockedPackage): readonly LockedPackage[];
  /** Returns the sorted names of all transitive dependencies, without packages for one platform. */
  findTransitive(names: readonly string[]): readonly string[];
}

export function readLock(text: string): Lock {
  const { packages: entries } = Bun.JSONC.parse(text) as { packages: Record<string, readonly unknown[]> };
  const packages = Object.entries(entries).map(([path, entry]) => readPackage(path, entry));
  const byPath = new Map(packages.map((each) => [each.path, each]));
  const findDependencies = ({ path, needs }: LockedPackage) =>
    needs.flatMap((name) => resolve(byPath, path, name) ?? []);
  return {
    packages,
    has: (id) => packages.some((each) => each.id === id),
    findDependencies,
    findTransitive: (names) => {
      const found = new Set<LockedPackage>();
      const follow = (each: LockedPackage): void => {
        for (const next of findDependencies(each)) {
          if (next.isForOnePlatform || found.has(next)) continue;
          found.add(next);
          follow(next);
        }
      };
      for (const name of names) {
        const own = byPath.get(name);
        if (own !== undefined) follow(own);
      }
      const all = new Set(Array.from(found, ({ id }) => id.slice(0, id.lastIndexOf("@"))));
      return [...all].filter((name) => !names.includes(name)).sort();
    },
  };
}

/** An entry is `[id, registry, meta, integrity]`. A package from anywhere but a registry has fewer elements, and no hash. */
function readPackage(path: string, [id, , meta, integrity]: readonly unknown[]): LockedPackage {
  const { dependencies, optionalDependencies, os, cpu } = (meta ?? {}) as Meta;
  return {
    path,
    id: String(id),
    integrity: typeof integrity === "string" ? integrity : "",
    needs: [...Object.keys(dependencies ?? {}), ...Object.keys(optionalDependencies ?? {})],
    isForOnePlatform: os !== undefined || cpu !== undefined,
  };
}

/** Resolves a name like Node.js: in the node_modules of the package `from`, then of each enclosing package. */
function resolve(
  byPath: ReadonlyMap<string, LockedPackage>,
  from: string,
  name: string,
): LockedPackage | undefined {
  for (let outer = from; outer !== ""; outer = outer.slice(0, Math.max(0, outer.lastIndexOf("/")))) {
    const found = byPath.get(`${outer}/${name}`);
    if (found !== undefined) return found;
  }
  return byPath.get(name);
}
