/** An option. It can be set on the command line, in the environment as `SFP_` and its upper-case name, and in a file. */
export interface OptionSpec {
  readonly name: string;
  /** Other names of the same option, for the command line, the environment and the file alike. */
  readonly aliases?: readonly string[];
  readonly short?: string;
  readonly kind: "flag" | "integer" | "text";
  /** A flag that takes the next word as its value if that is `true` or `false`, as in 3.x of the original proxy. */
  readonly mayTakeWord?: true;
  /** As a user would write it. Undefined if there is no default. */
  readonly default?: string;
  readonly min?: number;
  readonly max?: number;
  /**
   * The type of the option in the original proxy, which takes every value of it. A value outside of `min` and `max` is replaced by the
   * nearest, with a warning at the start.
   */
  readonly original?: keyof typeof ORIGINAL_RANGES;
  /** The original proxy ignores the value, so 0 is not the least one. */
  readonly zeroMeansDefault?: true;
  /** The allowed values, if they are few. */
  readonly words?: readonly string[];
  /** A comma-separated list; in a file it may be a list. */
  readonly isList?: true;
  /** May be given several times on the command line; the lists are joined. */
  readonly isRepeatable?: true;
  /** Holds SDK keys, which are never shown in full. */
  readonly isSecret?: true;
  /** A reload applies a new value without a restart. */
  readonly isReloadable?: true;
  readonly placeholder?: string;
  /** Accepted, but it changes nothing. The description, `No effect: …`, says why, and so does a log line at the start. */
  readonly hasNoEffect?: true;
  /** The exception to `hasNoEffect`: 0 changes what the description says. */
  readonly zeroHasEffect?: true;
  readonly description: string;
}

/** The whole numbers of the types that the original proxy reads. */
const ORIGINAL_RANGES = {
  u16: [0n, 2n ** 16n - 1n],
  u32: [0n, 2n ** 32n - 1n],
  u64: [0n, 2n ** 64n - 1n],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
} as const;

const MAX_DIGITS = 30;

/**
 * Returns the whole number that a text sets an option to. Returns undefined if the option does not allow the text. A text that the
 * original proxy would take is never refused.
 */
export function parseInteger(option: OptionSpec, text: string): number | undefined {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, original } = option;
  if (original === undefined) {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  }
  if (!/^[+-]?\d+$/.test(text) || text.length > MAX_DIGITS) return undefined;
  const value = BigInt(text.replace(/^\+/, ""));
  const [least, most] = ORIGINAL_RANGES[original];
  // Where this relay allows more than the original, that counts as well.
  if (value < least || (value > most && value > BigInt(max))) return undefined;
  if (value === 0n && option.zeroMeansDefault) return Number(option.default);
  return clamp(Number(value), min, max);
}

/** Returns the number of the range that is nearest. */
export function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/** What all options of ports have in common. */
export const PORT = { kind: "integer", min: 0, max: 65_535, placeholder: "PORT" } as const;

/** Returns every name of an option. */
export function namesOf({ name, aliases = [] }: Pick<OptionSpec, "name" | "aliases">): readonly string[] {
  return [name, ...aliases];
}

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
  /** As for an option. A name that ends in `*` stands for all variables that begin like it. */
  readonly hasNoEffect?: true;
  readonly description: string;
}

/** An environment variable that is ignored, or that has another effect than its user may expect. */
export interface DoubtfulVariable {
  readonly variable: string;
  /** What is wrong, what the relay does, and what to write instead. Without secrets. */
  readonly reason: string;
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
  const completed = names.filter((name) => normalize(name).startsWith(wanted));
  if (completed.length > 0)
    return completed.reduce((one, other) => (other.length < one.length ? other : one));
  const [best] = names
    .map((name) => ({ name, distance: distanceBetween(wanted, normalize(name)) }))
    .sort((one, other) => one.distance - other.distance);
  if (best !== undefined && best.distance <= MAX_DISTANCE * wanted.length) return best.name;
  return names.find((name) => normalize(name).length >= MIN_LENGTH && wanted.startsWith(normalize(name)));
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
