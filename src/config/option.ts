/** An option. It can be set on the command line, in the environment as `SFP_` and its upper-case name, and in a file. */
export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  readonly kind: "flag" | "integer" | "text";
  /** As a user would write it. Undefined if there is no default. */
  readonly default?: string;
  readonly min?: number;
  readonly max?: number;
  /** The allowed values, if they are few. */
  readonly words?: readonly string[];
  /** A comma-separated list; in a file it may be a list. */
  readonly isList?: true;
  /** Holds SDK keys, which are never shown in full. */
  readonly isSecret?: true;
  /** A reload applies a new value without a restart. */
  readonly isReloadable?: true;
  readonly placeholder?: string;
  readonly description: string;
}

/** What all options of ports have in common. */
export const PORT = { kind: "integer", min: 0, max: 65_535, placeholder: "PORT" } as const;

/** The options of one subject, by their names in camel case, in the order of `--help`. */
export type OptionGroup = Readonly<Record<string, OptionSpec>>;

/** An environment variable that is not an option. Most have the names of the original proxy. */
export interface VariableSpec {
  readonly name: string;
  /** Names with the same meaning for a narrower scope, which override this one there. */
  readonly variants?: readonly string[];
  /** As documents show it. Undefined if there is no default. */
  readonly default?: string;
  /** Never shown. */
  readonly isSecret?: true;
  /** Accepted, but it changes nothing. The description, `No effect: …`, says why, and so does a log line at the start. */
  readonly hasNoEffect?: true;
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
  description: "Protocols to serve",
} as const satisfies OptionSpec;
export const CACHE_KIND = {
  name: "cache",
  kind: "text",
  words: CACHES,
  description: "Backup of config specs",
} as const satisfies OptionSpec;

/** Positional arguments of the command line. The environment and the file give them by name. */
export const POSITIONALS = [MODE, CACHE_KIND] as const;

/** Returns the name that a mistyped one was likely meant to be. Returns undefined if none is similar. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const wanted = normalize(given);
  if (wanted.length < MIN_LENGTH) return undefined;
  const completed = names.find((name) => normalize(name).startsWith(wanted));
  if (completed !== undefined) return completed;
  const [best] = names
    .map((name) => ({ name, distance: distanceBetween(wanted, normalize(name)) }))
    .sort((one, other) => one.distance - other.distance);
  return best !== undefined && best.distance <= MAX_DISTANCE * wanted.length ? best.name : undefined;
}

const MIN_LENGTH = 3;

/** As a fraction of the length. */
const MAX_DISTANCE = 0.34;

/** Ignores how the words of a name are joined. */
const normalize = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Returns the Levenshtein distance: the number of letters to insert, delete or replace. */
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
