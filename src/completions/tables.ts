import { ALL_OPTIONS, OPTIONS, type OptionSpec, PRINT_CONFIG } from "../options.ts";
import { CACHES, MODES } from "../positionals.ts";
import { SUBCOMMANDS, type Subcommand } from "../subcommands.ts";

/** A command line with a subcommand, or that of a relay, which has none. */
export interface Shape {
  readonly name: string | undefined;
  readonly takesRelayOptions: boolean;
  /** Its own options. */
  readonly options: readonly OptionSpec[];
  /** What its words may be, one after the other; the first is the name. */
  readonly words: readonly (readonly string[])[];
}

const subcommands: readonly Subcommand[] = SUBCOMMANDS;

export const RELAY_SHAPE: Shape = {
  name: undefined,
  takesRelayOptions: true,
  options: [PRINT_CONFIG],
  words: [[...MODES, ...subcommands.map(({ name }) => name)], CACHES],
};

export const SUBCOMMAND_SHAPES: readonly (Shape & { readonly name: string })[] = subcommands.map(
  ({ name, takesRelayOptions, options, positionals }) => ({
    name,
    takesRelayOptions,
    options,
    words: [[name], ...positionals.map(wordsOf)],
  }),
);

function wordsOf(positional: string): readonly string[] {
  if (positional === "MODE") return MODES;
  return positional === "CACHE" ? CACHES : positional.split("|");
}

export const RELAY_OPTIONS: readonly OptionSpec[] = OPTIONS;

/** They may stand anywhere: `--help` and its like. */
export const COMMON_OPTIONS: readonly OptionSpec[] = ALL_OPTIONS.filter(
  (option) => option !== PRINT_CONFIG && !RELAY_OPTIONS.includes(option),
);

/** What has a value behind it, by every name. */
export const VALUED_OPTIONS: readonly OptionSpec[] = [
  ...RELAY_OPTIONS,
  ...subcommands.flatMap(({ options }) => options),
].filter(
  ({ name, kind }, at, all) => kind !== "flag" && all.findIndex((other) => other.name === name) === at,
);

export type ValueKind = "file" | "folder" | "keys" | "words" | "other";

/** What an option's value can be completed to. */
export function valueKind({ placeholder, words }: OptionSpec): ValueKind {
  if (words !== undefined) return "words";
  if (placeholder === "FILE") return "file";
  if (placeholder === "FOLDER") return "folder";
  return placeholder === "KEYS|@FILE" ? "keys" : "other";
}

/** As they are written. */
export function spellings({ name, short }: OptionSpec): readonly string[] {
  return short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
}
