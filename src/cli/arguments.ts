import { meantWord, parseSwitch } from "../config/hints.ts";
import { namesOf, nearestName, type OptionSpec } from "../config/option.ts";
import { describeInvalidValue } from "../config/settings.ts";
import { EXIT_USAGE, UserError } from "../platform/errors.ts";

/** The command line is invalid. The message is one line. */
export class UsageError extends UserError {
  constructor(message: string) {
    super(message, EXIT_USAGE);
  }
}

export interface StrictArgs {
  /** Values by long name, as they were given. The value of a flag is `true` or `false`. */
  readonly values: ReadonlyMap<string, string>;
  readonly positionals: readonly string[];
}

/**
 * Splits a command line into options and positional arguments. A flag takes a value only after `=`, or as the next word if its row
 * says so; any other option takes the next word, or the text after `=`. Throws {@link UsageError} for unknown options, missing
 * values and duplicates.
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
      refuseOtherDash(word, options);
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
  const long = (equals < 0 ? word : word.slice(0, equals)).slice("-".length);
  if (options.some((each) => namesOf(each).includes(long))) throw unknownOptionError(`-${long}`, options);
  const shown = word.slice(0, 2);
  const option = options.find(({ short }) => `-${short}` === shown);
  if (option === undefined || (option.kind === "flag" && word.length > 2 && equals !== 2)) {
    throw unknownOptionError(word, options);
  }
  return { option, shown, attached: word.length > 2 ? word.slice(word[2] === "=" ? 3 : 2) : undefined };
}

/** A flag has the same values in the environment and in a file. */
function parseFlag(shown: string, attached = "true"): "true" | "false" {
  const value = parseSwitch(attached);
  if (value !== undefined) return value ? "true" : "false";
  const meant = meantWord(["true", "false"], attached);
  throw new UsageError(describeInvalidValue(shown, attached, "true or false", meant));
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

/** Word processors and web pages turn hyphens into these. */
const OTHER_DASH = /^[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]+/;

function refuseOtherDash(word: string, options: readonly OptionSpec[]): void {
  const [dash] = OTHER_DASH.exec(word) ?? [];
  if (dash === undefined) return;
  const name = word.slice(dash.length).replace(/^-+/, "").replace(/=.*$/s, "");
  const found = options.find((each) => namesOf(each).includes(name));
  if (name === "")
    throw new UsageError(`unexpected argument "${word}", which is not made of hyphens (did you mean --?)`);
  const short = options.find((each) => each.short === name);
  const meant =
    short === undefined
      ? `--${found?.name ?? nearestName(name, options.flatMap(namesOf)) ?? "help"}`
      : `-${name}`;
  throw new UsageError(
    `unknown option ${word}: it begins with "${dash}", which is not a hyphen (did you mean ${meant}?)`,
  );
}

function unknownOptionError(shown: string, options: readonly OptionSpec[]): UsageError {
  const near = nearestName(shown, options.flatMap(namesOf));
  const hint = near === undefined ? "see --help" : `did you mean --${near}?`;
  return new UsageError(`unknown option ${shown} (${hint})`);
}
