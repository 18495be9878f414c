import { CACHE_KIND, MODE, namesOf, nearestName, type OptionSpec, POSITIONALS } from "../config/option.ts";
import { ALL_OPTIONS, NAME, OPTIONS, PRINT_CONFIG, PRINT_OPTIONS } from "../config/options.ts";
import { describeInvalidValue, formatAlternatives, type GivenConfig } from "../config/settings.ts";
import { EXIT_USAGE, UserError } from "../platform/errors.ts";
import { VERSION_LINE } from "../version.ts";
import { formatHelp } from "./help.ts";
import type { GivenSubcommand } from "./run-subcommand.ts";
import { findSubcommand, SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

/** What a command line asks for. */
type Invocation =
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "relay" | "print-config"; readonly given: GivenConfig }
  | ({ readonly kind: "subcommand" } & GivenSubcommand);

/** A command line without a subcommand. */
const RELAY: Pick<Subcommand, "positionals" | "takesRelayOptions" | "options"> = {
  positionals: POSITIONALS,
  takesRelayOptions: true,
  options: [PRINT_CONFIG],
};

const SUBCOMMAND_OPTIONS: readonly OptionSpec[] = SUBCOMMANDS.flatMap(
  ({ options }): readonly OptionSpec[] => options,
);

const PRINT_NAMES = new Set(PRINT_OPTIONS.map(({ name }) => name));

/** The command line is invalid. The message is one line. */
export class UsageError extends UserError {
  constructor(message: string) {
    super(message, EXIT_USAGE);
  }
}

/** Parses a command line. `--help` and `--version` override everything else; with `=false` they are ignored. Throws {@link UsageError}. */
export async function parseInvocation(argv: readonly string[]): Promise<Invocation> {
  const { values, positionals } = parseStrictArgs(argv, [...ALL_OPTIONS, ...SUBCOMMAND_OPTIONS]);
  if (values.get("help") === "true") return { kind: "print", text: await formatHelp() };
  if (values.get("version") === "true") return { kind: "print", text: `${NAME} ${VERSION_LINE}` };
  const args = { values: new Map([...values].filter(([name]) => !PRINT_NAMES.has(name))), positionals };
  const subcommand = findSubcommand(args.positionals[0]);
  if (subcommand === undefined) {
    const given = toGivenConfig(args, RELAY, "a relay");
    return { kind: given.values.get(PRINT_CONFIG.name) === "true" ? "print-config" : "relay", given };
  }
  const words = args.positionals.slice(1);
  const given = toGivenConfig({ ...args, positionals: words }, subcommand, subcommand.name);
  return { kind: "subcommand", name: subcommand.name, words, given };
}

/** Checks that a command takes these arguments. The values themselves are validated with the rest of the configuration. */
function toGivenConfig(
  { values, positionals }: StrictArgs,
  { positionals: expected, takesRelayOptions, options }: typeof RELAY,
  command: string,
): GivenConfig {
  const extra = positionals[expected.length];
  if (extra !== undefined) {
    const names = expected.map(({ name }) => name.toUpperCase());
    const allowed = names.length === 0 ? "only options" : names.join(" ");
    throw new UsageError(`unexpected argument "${extra}" (${command} takes ${allowed})`);
  }
  for (const [at, { name, words, isRequired }] of expected.entries()) {
    const word = positionals[at];
    if (!isRequired || words.includes(word ?? "")) continue;
    const problem = word === undefined ? `missing ${name}` : `invalid ${name} "${word}"`;
    throw new UsageError(`${command}: ${problem} (expected ${formatAlternatives(words)})`);
  }
  const taken: readonly OptionSpec[] = [...(takesRelayOptions ? OPTIONS : []), ...options];
  for (const name of values.keys()) {
    if (!taken.some((option) => option.name === name)) {
      throw new UsageError(`--${name} is not an option of ${command}`);
    }
  }
  const find = (wanted: OptionSpec) => positionals[expected.findIndex(({ name }) => name === wanted.name)];
  return { mode: find(MODE), cache: find(CACHE_KIND), values };
}

export interface StrictArgs {
  /** Values by long name, as they were given. The value of a flag is `true` or `false`. */
  readonly values: ReadonlyMap<string, string>;
  readonly positionals: readonly string[];
}

/**
 * Splits a command line into options and positional arguments. A flag takes a value only after `=`, or as the next word if its row
 * says so; any other option takes the next word, or the text after `=`. Throws {@link UsageError} for unknown options, missing
 * values and duplicates, which citty accepts.
 */
export function parseStrictArgs(argv: readonly string[], options: readonly OptionSpec[]): StrictArgs {
  const values = new Map<string, string>();
  const positionals: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      positionals.push(...rest.splice(0));
    } else if (word.startsWith("-") && word !== "-") {
      const { option, shown, attached } = findOption(word, options);
      const before = values.get(option.name);
      if (before !== undefined && !option.isRepeatable) {
        throw new UsageError(`${shown} is given more than once`);
      }
      const value =
        option.kind === "flag"
          ? parseFlag(shown, attached ?? takeWord(option, rest))
          : (attached ?? takeValue(option, shown, rest));
      values.set(option.name, before === undefined ? value : `${before},${value}`);
    } else {
      positionals.push(word);
    }
  }
  return { values, positionals };
}

interface FoundOption {
  readonly option: OptionSpec;
  /** As the user wrote it. */
  readonly shown: string;
  /** The value after `=`, or directly after a short name. */
  readonly attached: string | undefined;
}

function findOption(word: string, options: readonly OptionSpec[]): FoundOption {
  const equals = word.indexOf("=");
  if (word.startsWith("--")) {
    const shown = equals < 0 ? word : word.slice(0, equals);
    const option = options.find((each) => namesOf(each).includes(shown.slice("--".length)));
    if (option === undefined) throw unknownOptionError(shown, options);
    return { option, shown, attached: equals < 0 ? undefined : word.slice(equals + 1) };
  }
  const shown = word.slice(0, 2);
  const option = options.find(({ short }) => `-${short}` === shown);
  if (option === undefined || (option.kind === "flag" && word.length > 2 && equals !== 2)) {
    throw unknownOptionError(word, options);
  }
  return { option, shown, attached: word.length > 2 ? word.slice(word[2] === "=" ? 3 : 2) : undefined };
}

/** A flag has the same values in the environment and in a file. */
function parseFlag(shown: string, attached = "true"): "true" | "false" {
  if (attached === "true" || attached === "1") return "true";
  if (attached === "false" || attached === "0") return "false";
  throw new UsageError(describeInvalidValue(shown, attached, "true or false"));
}

/** Returns the next word if the flag takes it. No positional argument is `true` or `false`. */
function takeWord(option: OptionSpec, rest: string[]): string | undefined {
  return option.mayTakeWord && /^(true|false)$/.test(rest[0] ?? "") ? rest.shift() : undefined;
}

function takeValue(option: OptionSpec, shown: string, rest: string[]): string {
  const next = rest[0];
  if (next === undefined || /^--?[A-Za-z]/.test(next)) {
    throw new UsageError(`missing value for ${shown} (expected ${shown} <${option.placeholder ?? "VALUE"}>)`);
  }
  rest.shift();
  return next;
}

function unknownOptionError(shown: string, options: readonly OptionSpec[]): UsageError {
  const near = nearestName(shown, options.flatMap(namesOf));
  const hint = near === undefined ? "see --help" : `did you mean --${near}?`;
  return new UsageError(`unknown option ${shown} (${hint})`);
}
