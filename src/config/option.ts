/** An option of the command line, of the environment as `SFP_` and its upper-case name, and of a file. */
export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  readonly kind: "flag" | "integer" | "text";
  /** As it would be written; undefined where there is none. */
  readonly default?: string;
  readonly min?: number;
  readonly max?: number;
  /** The texts that are allowed, where they are few. */
  readonly words?: readonly string[];
  /** A comma list; in a file it may be a list. */
  readonly isList?: true;
  /** SDK keys: never shown whole. */
  readonly isSecret?: true;
  /** A new value is taken over while the relay goes on. */
  readonly isReloadable?: true;
  readonly placeholder?: string;
  readonly description: string;
}

/** The options of one subject, by their names in camel case, in the order of `--help`. */
export type OptionGroup = Readonly<Record<string, OptionSpec>>;

/** A variable of the environment that is no option: most have their names from the original proxy. */
export interface VariableSpec {
  readonly name: string;
  /** Names that mean the same for a part of what this one is for, and go before it. */
  readonly variants?: readonly string[];
  /** As a person would write it; undefined where there is none. */
  readonly default?: string;
  /** Never shown. */
  readonly isSecret?: true;
  readonly description: string;
}

export const MODES = ["grpc-and-http", "grpc", "http"] as const;
export type Mode = (typeof MODES)[number];

export const CACHES = ["disabled", "local", "redis"] as const;
export type Cache = (typeof CACHES)[number];

export const MODE = {
  name: "mode",
  kind: "text",
  words: MODES,
  description: "What to serve",
} as const satisfies OptionSpec;
export const CACHE_KIND = {
  name: "cache",
  kind: "text",
  words: CACHES,
  description: "Where to keep a backup",
} as const satisfies OptionSpec;

/** Positional arguments of the command line. The environment and the file give them by name. */
export const POSITIONALS = [MODE, CACHE_KIND] as const;

/** The one of these names that was likely meant; undefined where none is near. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const wanted = bare(given);
  if (wanted.length < MIN_LENGTH) return undefined;
  const begun = names.find((name) => bare(name).startsWith(wanted));
  if (begun !== undefined) return begun;
  const [best] = names
    .map((name) => ({ name, distance: distanceBetween(wanted, bare(name)) }))
    .sort((one, other) => one.distance - other.distance);
  return best !== undefined && best.distance <= MAX_DISTANCE * wanted.length ? best.name : undefined;
}

const MIN_LENGTH = 3;

/** As a part of the length. */
const MAX_DISTANCE = 0.34;

/** However the words of a name are joined. */
const bare = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Letters to add, take away or replace (Levenshtein). */
function distanceBetween(one: string, other: string): number {
  let previous = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [row, letter] of [...one].entries()) {
    const current = [row + 1];
    for (const [column, against] of [...other].entries()) {
      const replaced = (previous[column] ?? 0) + (letter === against ? 0 : 1);
      current.push(Math.min(replaced, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
