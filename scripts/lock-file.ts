/** A package as bun.lock holds it. */
export interface LockedPackage {
  /** As in node_modules: `a`, or `a/b` for the b that is a's alone. */
  readonly path: string;
  /** Name and version. */
  readonly id: string;
  /** Empty where there is none. */
  readonly integrity: string;
  /** By name, as far as they are locked. */
  readonly needs: readonly string[];
  /** A binary for one kind of machine. */
  readonly isForOnePlatform: boolean;
}

interface Meta {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly os?: unknown;
  readonly cpu?: unknown;
}

/** What bun.lock says. */
export interface Lock {
  readonly packages: readonly LockedPackage[];
  has(id: string): boolean;
  /** Those that a package finds when it imports what it needs. */
  neededBy(each: LockedPackage): readonly LockedPackage[];
  /** Names of all that these bring with them, sorted; without packages for one platform. */
  broughtBy(names: readonly string[]): readonly string[];
}

export function readLock(text: string): Lock {
  const { packages: entries } = Bun.JSONC.parse(text) as { packages: Record<string, readonly unknown[]> };
  const packages = Object.entries(entries).map(([path, entry]) => readPackage(path, entry));
  const byPath = new Map(packages.map((each) => [each.path, each]));
  const neededBy = ({ path, needs }: LockedPackage) =>
    needs.flatMap((name) => resolve(byPath, path, name) ?? []);
  return {
    packages,
    has: (id) => packages.some((each) => each.id === id),
    neededBy,
    broughtBy: (names) => {
      const found = new Set<LockedPackage>();
      const follow = (each: LockedPackage): void => {
        for (const next of neededBy(each)) {
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

/** `[id, registry, meta, integrity]`; anything but a package of a registry has fewer, and no hash. */
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

/** As Node looks: beside the package that needs it, then one folder further out, and so on. */
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
